"""Files that stay in a layer below the one that deletes them."""

from __future__ import annotations

import pytest

from lamina.advise.advice import Kind
from tests.advise.advising import improved, items


def merged(text: str) -> str:
    return improved(text, None, Kind.DELETED_FILES)


def test_a_download() -> None:
    text = "FROM x\nRUN curl -o /tmp/a http://h/a\n\n# gone\nRUN rm /tmp/a\nRUN b\n"
    assert merged(text) == (
        "FROM x\nRUN curl -o /tmp/a http://h/a && \\\n    # gone\n    rm /tmp/a\nRUN b\n"
    )
    (item,) = items(text, None, Kind.DELETED_FILES)
    assert item.line == 5
    assert "/tmp/a is deleted here, but stays in the layer of line 2" in item.reason


def test_a_download_by_its_address() -> None:
    text = "FROM x\nWORKDIR /w\nRUN wget -q http://h/a.tgz?x=1\nRUN tar xf a.tgz\nRUN rm a.tgz\n"
    assert merged(text) == (
        "FROM x\nWORKDIR /w\nRUN wget -q http://h/a.tgz?x=1 && \\\n    tar xf a.tgz && \\\n"
        "    rm a.tgz\n"
    )


def test_another_directory() -> None:
    text = "FROM x\nRUN cd /tmp && curl -O http://h/a\nRUN rm -f /tmp/a\n"
    assert "&& \\\n    rm -f /tmp/a\n" in merged(text)
    text = "FROM x\nRUN cd /tmp && curl -O http://h/a\nRUN make && rm -f /tmp/a\n"
    assert merged(text) == text


def test_packages() -> None:
    text = "FROM x\nRUN apk add --virtual .b gcc \\\n  && make\nRUN apk del .b\n"
    assert (
        merged(text) == "FROM x\nRUN apk add --virtual .b gcc \\\n  && make && \\\n  apk del .b\n"
    )
    text = "FROM x\nRUN apt-get install -y gcc\nRUN apt-get purge -y gcc\n"
    assert merged(text).count("RUN") == 1


def test_a_copied_archive() -> None:
    text = "FROM x\n# data\nCOPY a.tgz /tmp/\nRUN tar xf /tmp/a.tgz -C /d && rm /tmp/a.tgz\n"
    assert merged(text) == (
        "FROM x\nRUN --mount=type=bind,source=a.tgz,target=/tmp/a.tgz tar xf /tmp/a.tgz -C /d\n"
    )
    text = "FROM x\nCOPY --from=b /o/a.deb /a.deb\nRUN dpkg -i /a.deb\nRUN rm /a.deb\n"
    assert merged(text) == (
        "FROM x\nRUN --mount=type=bind,from=b,source=/o/a.deb,target=/a.deb dpkg -i /a.deb\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "FROM x\nRUN curl -o /tmp/a http://h\nRUN rm /tmp/b\n",
        "FROM x\nRUN curl -o /tmp/a http://h\nENV A=b\nRUN rm /tmp/a\n",
        "FROM x\nRUN curl -o /tmp/a http://h\nRUN rm /tmp/a || true\n",
        "FROM x\nRUN curl -o /tmp/a http://h\nRUN rm /tmp/a; b\n",
        "FROM x\nRUN curl -o /tmp/a http://h\nRUN --network=none rm /tmp/a\n",
        "FROM x\nRUN curl -o /tmp/a http://h # note\nRUN rm /tmp/a\n",
        "FROM x\nRUN curl -o /tmp/a http://h &\nRUN rm /tmp/a\n",
        "FROM x\nRUN <<EOF\ncurl -o /tmp/a http://h\nEOF\nRUN rm /tmp/a\n",
        "FROM x\nRUN --mount=type=tmpfs,target=/tmp curl -o /tmp/a http://h\nRUN rm -f /tmp/a\n",
        # Only the layers of the image matter.
        "FROM x AS a\nRUN curl -o /tmp/a http://h\nRUN rm /tmp/a\nFROM y\nCOPY --from=a /b /b\n",
        # The file is changed, or its owner is.
        "FROM x\nCOPY a.sh /a.sh\nRUN chmod +x /a.sh && /a.sh && rm /a.sh\n",
        "FROM x\nCOPY --chown=1 a.tgz /a.tgz\nRUN tar xf /a.tgz && rm /a.tgz\n",
        "FROM x\nCOPY a.tgz b.tgz /t/\nRUN tar xf /t/a.tgz && rm /t/a.tgz\n",
        "FROM x\nCOPY a.tgz /t/\nRUN rm /t/a.tgz\n",
    ],
)
def test_what_stays(text: str) -> None:
    assert merged(text) == text


def test_the_target_decides_which_layers_matter() -> None:
    from lamina.advise.advisor import advise
    from tests.advise.advising import request

    text = "FROM x AS a\nRUN curl -o /tmp/a http://h\nRUN rm /tmp/a\nFROM y\nCOPY --from=a /b /b\n"
    assert advise(text, request(None, Kind.DELETED_FILES)) == []
    assert len(advise(text, request(None, Kind.DELETED_FILES, target="a"))) == 1
