"""SOURCE_DATE_EPOCH: numbers, names of sources, and invalid values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lamina.base.errors import InvalidInput
from lamina.dockerfile.args import parse_epoch
from lamina.dockerfile.contract import MainContext, NamedContext
from lamina.dockerfile.source_ops import http_source
from lamina.llb.state import Vertex, marshal

if TYPE_CHECKING:
    from tests.dockerfile.memory_bridge import Convert

URL = "http://h.example/src.tar"
TIME = 100 * len(URL)  # the time in the bridge in memory
STAGE = f"FROM scratch AS Src\nADD {URL} /\n"
DOWNLOAD = marshal(Vertex(http_source(URL, "context")).output())


def epoch_of(convert: Convert, text: str, **fields: Any) -> int | None:
    made = convert(text, **fields)
    for entry in made.config.get("history", []):
        assert ("created" in entry) == (made.result.epoch is not None)
    return made.result.epoch


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("FROM scratch\nCOPY a .\n", {"SOURCE_DATE_EPOCH": "12"}, 12),
        ("ARG SOURCE_DATE_EPOCH=12\nFROM scratch\nCOPY a .\n", {}, 12),
        ("ARG X=12\nARG SOURCE_DATE_EPOCH=$X\nFROM scratch\nCOPY a .\n", {"X": "13"}, 13),
        ("ARG SOURCE_DATE_EPOCH=12\nFROM scratch\nCOPY a .\n", {"SOURCE_DATE_EPOCH": "13"}, 13),
        ("ARG SOURCE_DATE_EPOCH=12\nFROM scratch\nCOPY a .\n", {"SOURCE_DATE_EPOCH": ""}, None),
        ("FROM scratch\nARG SOURCE_DATE_EPOCH=12\nCOPY a .\n", {}, None),
        (f"ARG SOURCE_DATE_EPOCH=sRC\n{STAGE}FROM scratch\nCOPY a .\n", {}, TIME),
        (f"{STAGE}FROM scratch\nCOPY a .\n", {"SOURCE_DATE_EPOCH": "src"}, TIME),
        (f"ARG SOURCE_DATE_EPOCH=src\n{STAGE}FROM scratch\n", {"SOURCE_DATE_EPOCH": "7"}, 7),
        (
            "ARG SOURCE_DATE_EPOCH=src\nARG H=h\n"
            "FROM scratch AS src\nARG H\nARG N=src\nADD http://$H.example/$N.tar /\n"
            "FROM scratch\nCOPY a .\n",
            {"H": "h2"},
            TIME + 100,
        ),
        (
            "ARG SOURCE_DATE_EPOCH=src\nFROM scratch AS src\n"
            "ADD --keep-git-dir https://h.example/x.git#v1 /\nFROM scratch\nCOPY a .\n",
            {},
            100 * len("git://h.example/x.git#v1"),
        ),
        ("FROM scratch\nCOPY a .\n", {"SOURCE_DATE_EPOCH": "context"}, None),
    ],
)
def test_epochs_of_named_sources(
    convert: Convert, text: str, given: dict[str, str], expected: int | None
) -> None:
    assert epoch_of(convert, text, build_args=tuple(given.items())) == expected


def test_contexts(convert: Convert) -> None:
    text = "FROM scratch\nCOPY a .\n"
    args = (("SOURCE_DATE_EPOCH", "context"),)
    assert epoch_of(convert, text, build_args=args, context=MainContext(DOWNLOAD)) == TIME
    assert epoch_of(convert, text, build_args=args, context=MainContext(made_at=9)) == 9
    named = (
        NamedContext("dl", "definition", URL, None, DOWNLOAD),
        NamedContext("img", "docker-image", "base"),
    )
    for name, expected in (("dl", TIME), ("img", None)):
        args = (("SOURCE_DATE_EPOCH", name),)
        assert epoch_of(convert, text, build_args=args, named_contexts=named) == expected


def test_steps_see_the_time_and_not_its_name(convert: Convert) -> None:
    made = convert(f"ARG SOURCE_DATE_EPOCH=src\n{STAGE}FROM base\nARG SOURCE_DATE_EPOCH\nRUN x\n")
    assert made.execs[0].meta is not None
    assert f"SOURCE_DATE_EPOCH={TIME}" in made.execs[0].meta.env
    args = (("SOURCE_DATE_EPOCH", "context"),)
    unset = convert("FROM base\nARG SOURCE_DATE_EPOCH\nRUN x\n", build_args=args)
    assert unset.execs[0].meta is not None
    assert "SOURCE_DATE_EPOCH=" in unset.execs[0].meta.env


@pytest.mark.parametrize(
    ("stage", "said", "line"),
    [
        ("FROM base AS src\nADD http://h/x /\n", "must use FROM scratch", 2),
        ("FROM scratch AS src\nCOPY a /\n", "source-only requirements: unsupported COPY", 2),
        ("FROM scratch AS src\nADD http://h/x /\nENV A=1\n", "unsupported ENV instruction", 2),
        ("FROM scratch AS src\nADD http://h/x /\nADD http://h/y /\n", "exactly one remote ADD", 2),
        ("FROM scratch AS src\nADD http://h/x http://h/y /\n", "exactly one remote ADD source", 2),
        ("FROM scratch AS src\nADD a /\n", "must be a single HTTP(S) or Git ADD", 2),
        ("FROM scratch AS src\nARG A=1\n", "exactly one remote ADD", 2),
        ("FROM scratch AS other\n", "invalid SOURCE_DATE_EPOCH: src", 0),
    ],
)
def test_names_without_a_time(convert: Convert, stage: str, said: str, line: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        convert(f"ARG SOURCE_DATE_EPOCH=src\n{stage}FROM scratch\n")
    assert said in str(caught.value)
    assert (caught.value.location.start if caught.value.location else 0) == line


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("-5", -5), ("+5", 5), ("1e3", None), ("", None), ("--5", None), ("9" * 19, None)],
)
def test_numbers(text: str, expected: int | None) -> None:
    assert parse_epoch(text) == expected
