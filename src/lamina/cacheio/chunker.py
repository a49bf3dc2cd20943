"""Content-defined chunks: an edit in a large file moves few of its boundaries.

A boundary follows a byte of a small set if a CRC of the bytes before it has its low bits zero.
The set is found by the regular expression engine and the CRC by zlib, both in C: a rolling hash
that looks at every byte would be a hundred times slower in Python. The set has bytes that are
common in text, in machine code and in what is compressed, so that each has candidates enough.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = 512 << 10
"""Files up to this size are one chunk: finer pieces would not pay for being listed."""
_LEAST = 64 << 10
_MOST = 1 << 20
_WINDOW = 48
_MASK = (1 << 12) - 1
_CANDIDATE = re.compile(rb"[\n\x8b\xc3e]")


def chunks(data: bytes | memoryview) -> Iterator[memoryview]:
    """Cut bytes into pieces, most of 64 KiB to 1 MiB; together they are the bytes."""
    view = memoryview(data)
    size = len(view)
    start = 0
    while size - start > SMALL:
        end = _boundary(view, start, min(start + _MOST, size))
        yield view[start:end]
        start = end
    if start < size:
        yield view[start:]


def _boundary(view: memoryview, start: int, limit: int) -> int:
    for found in _CANDIDATE.finditer(view, start + _LEAST, limit):
        end = found.end()
        if not crc32(view[end - _WINDOW : end]) & _MASK:
            return end
    return limit
