from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.digest import Digest, digest_of
from lamina.base.errors import NotFound
from lamina.base.location import Location
from lamina.base.redact import redacted, redacted_bytes, redacted_values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://u:p@h/x, or ssh://git@h", "see https://xxxxx:xxxxx@h/x, or ssh://xxxxx@h"),
        ("https://u:p@h/x.git#main", "https://xxxxx:xxxxx@h/x.git#main"),
        ("https://token@h/x", "https://xxxxx@h/x"),
        ("https://:p@h", "https://:xxxxx@h"),
        ("https://u:p@ss@h/x@y", "https://xxxxx:xxxxx@h/x@y"),
        ("https://u:pa/ss@h/x", "https://xxxxx:xxxxx@h/x"),
        ("https://u:12/ss@h/x", "https://u:12/ss@h/x"),  # a port and a path
        ("https://u:123@h/x@y", "https://xxxxx:xxxxx@h/x@y"),
        ("http://u:p@[::1", "http://xxxxx:xxxxx@[::1"),
        ("HTTP://U:P@h", "HTTP://xxxxx:xxxxx@h"),
        (
            '{"a":"https://u:p@h","b":"https://v@i"}',
            '{"a":"https://xxxxx:xxxxx@h","b":"https://xxxxx@i"}',
        ),
        ("https://h/a@b:c", "https://h/a@b:c"),
        ("https://h:8080/a@b", "https://h:8080/a@b"),
        ("https://[::1]:80/x@y", "https://[::1]:80/x@y"),
        ("https://h/x?a=b@c", "https://h/x?a=b@c"),
        ("git@h:x", "git@h:x"),
        ("http://[::1", "http://[::1"),
        ("docker-image://busybox:1@sha256:0", "docker-image://busybox:1@sha256:0"),
        ("oci-layout://store:tag@sha256:0", "oci-layout://store:tag@sha256:0"),
    ],
)
def test_redacted(text: str, expected: str) -> None:
    assert redacted(text) == expected
    assert redacted_bytes(text.encode()) == expected.encode()


@given(st.text(alphabet="abc1%._~!$", min_size=1), st.text(alphabet="xyz2%._~!$@", min_size=9))
def test_no_password_is_left(user: str, password: str) -> None:
    shown = redacted(f"fatal: unable to access 'https://{user}:{password}@h.example/x.git/'")
    assert password not in shown
    assert urlsplit(shown.split("'")[1]).hostname == "h.example"


@given(st.text(alphabet="ab:@/", max_size=12), st.text(alphabet="pqr", min_size=1))
def test_no_password_remains(rest: str, password: str) -> None:
    assert f":{password}@" not in redacted(f"https://user:{password}@host/{rest}")


@pytest.mark.parametrize("part", ["a://", "://a:", "a://b:c", "a@", "http://u:p", "aaaaaaaaaa"])
def test_long_texts(part: str) -> None:
    """A search in quadratic time would not end for this size."""
    text = "@" + part * (100_000 // len(part)) + "://"
    assert redacted(text) == text


class Pair(NamedTuple):
    name: str
    data: bytes


def test_values_at_any_depth() -> None:
    digest = digest_of(b"")
    value = {"a": [Pair("http://u:p@h", b"\xff http://u:p@h"), (1, None)], "b": digest}
    shown = redacted_values(value)
    hidden = "http://xxxxx:xxxxx@h"
    assert shown == {"a": [Pair(hidden, b"\xff " + hidden.encode()), (1, None)], "b": digest}
    assert type(shown["a"][0]) is Pair
    assert type(shown["b"]) is Digest


def test_errors_and_excerpts() -> None:
    place = Location("Dockerfile", 1, 1, "ADD http://u:secret@h/x /\n")
    error = NotFound("http://u:secret@h/x: not found", location=place)
    assert "secret" not in str(error) + error.reason + place.excerpt()
    assert "http://xxxxx:xxxxx@h/x" in place.excerpt()
