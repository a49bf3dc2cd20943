"""Reads the XML lists of S3 and Azure without building a tree of untrusted input."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def elements(data: bytes, name: str) -> Iterator[str]:
    """The contents of all elements of a name that does not contain itself."""
    text = data.decode("utf-8", "replace")
    for found in re.finditer(rf"<{name}(?:\s[^<>]*)?>(.*?)</{name}>", text, re.DOTALL):
        yield found[1]


def element(text: str | bytes, name: str) -> str:
    """The text of the first element of a name; "" without one."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    return unescape(next(elements(data, name), "").strip())
