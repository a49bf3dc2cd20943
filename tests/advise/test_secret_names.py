"""Secrets in ARG and ENV become secret mounts."""

from __future__ import annotations

import pytest

from lamina.advise.advice import Kind
from tests.advise.advising import improved, items


def without(text: str) -> str:
    return improved(text, None, Kind.SECRET)


def test_an_argument_that_a_command_uses() -> None:
    text = "FROM x\nARG NPM_TOKEN\nRUN echo $NPM_TOKEN > a\nRUN b\n"
    assert without(text) == (
        "FROM x\nRUN --mount=type=secret,id=NPM_TOKEN,env=NPM_TOKEN echo $NPM_TOKEN > a\nRUN b\n"
    )
    (item,) = items(text, None, Kind.SECRET)
    assert "--secret id=NPM_TOKEN,env=NPM_TOKEN" in item.reason


def test_an_argument_that_a_program_reads() -> None:
    text = "FROM x\nARG NPM_TOKEN\nRUN apk add a\nRUN npm ci\n"
    assert without(text) == (
        "FROM x\nRUN apk add a\nRUN --mount=type=secret,id=NPM_TOKEN,env=NPM_TOKEN npm ci\n"
    )


def test_every_program_that_may_read_it() -> None:
    text = "FROM x\nENV AWS_SECRET_KEY=a\nRUN aws s3 cp a b\nRUN mkdir x\nRUN pip install y\n"
    flag = "--mount=type=secret,id=AWS_SECRET_KEY,env=AWS_SECRET_KEY"
    assert without(text) == (
        f"FROM x\nRUN {flag} aws s3 cp a b\nRUN mkdir x\nRUN {flag} pip install y\n"
    )


def test_one_of_several_names() -> None:
    text = "FROM x\nENV A=1 \\\n    DB_PASSWORD='a b' \\\n    B=2\nRUN ./migrate\n"
    assert without(text) == (
        "FROM x\nENV A=1 \\\n    B=2\n"
        "RUN --mount=type=secret,id=DB_PASSWORD,env=DB_PASSWORD ./migrate\n"
    )
    assert "when they are started" in items(text, None, Kind.SECRET)[0].reason


def test_another_name_for_the_same_value() -> None:
    text = "FROM x\nARG TOKEN=x\nENV A=b API_KEY=$TOKEN\nRUN curl $API_KEY\n"
    assert without(text) == (
        "FROM x\nENV A=b\nRUN --mount=type=secret,id=TOKEN,env=API_KEY curl $API_KEY\n"
    )


def test_heredocs_use_it() -> None:
    text = "FROM x\nARG TOKEN\nRUN <<EOF\ncurl $TOKEN\nEOF\n"
    assert "RUN --mount=type=secret,id=TOKEN,env=TOKEN <<EOF\n" in without(text)


@pytest.mark.parametrize(
    "text",
    [
        "FROM x\nARG VERSION\nRUN echo $VERSION\n",
        "FROM x\nARG PUBLIC_KEY\nRUN echo $PUBLIC_KEY\n",
        "FROM x\nARG TOKEN\nLABEL a=$TOKEN\nRUN echo $TOKEN\n",
        "FROM x\nARG TOKEN\nENV URL=http://$TOKEN@h\nRUN curl $URL\n",
        "ARG TOKEN\nFROM x\nRUN a\n",
        "FROM x AS a\nARG TOKEN\nRUN echo $TOKEN\nFROM a\nRUN echo $TOKEN\n",
        "FROM x\nENV SECRET=a\nCMD run\n",
        'FROM x\nENV TOKEN=""\nRUN echo $TOKEN\n',
    ],
)
def test_what_stays(text: str) -> None:
    assert without(text) == text
