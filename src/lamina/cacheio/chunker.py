"""Content-defined chunking: an edit in a large file changes few chunk boundaries.

A boundary follows a byte of a small set if the low bits of a CRC of the bytes before it are zero.
The regular expression engine finds the set and zlib computes the CRC, both in C: a rolling hash
over every byte would be a hundred times slower in Python. The set has bytes that are common in
text, in machine code and in compressed data, so that each has enough candidates.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = 512 << 10
"""Files up to this size are one chunk: listing smaller chunks would cost more than it saves."""
_LEAST = 64 << 10
_MOST = 1 << 20
_WINDOW = 48
_MASK = (1 << 12) - 1
_CANDIDATE = re.compile(rb"[\n\x8b\xc3e]")


def chunks(data: bytes | memoryview) -> Iterator[memoryview]:
    """Split bytes into chunks, most of 64 KiB to 1 MiB."""
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
