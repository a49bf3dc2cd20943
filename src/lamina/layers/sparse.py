"""The maps of sparse files in tar archives: the old GNU format, and three formats in pax records.

A map says where the stored bytes belong in the file; the rest are holes (GNU tar manual, "Storing
Sparse Files").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Callable

Extents = list[tuple[int, int]]
"""(offset, length) of each stored piece."""

_BLOCK = 512
_PAIR = 24
_MAX_PIECES = 1 << 20


def old_gnu_map(
    header: bytes, read: Callable[[int], bytes], number: Callable[[bytes], int]
) -> tuple[Extents, int]:
    """The map of a type `S` entry, from its header and the following blocks, and the file's
    size."""
    extents = _pairs(header[386 : 386 + 4 * _PAIR], number)
    more = header[482]
    while more:
        block = read(_BLOCK)
        extents += _pairs(block[: 21 * _PAIR], number)
        more = block[504]
        if len(extents) > _MAX_PIECES:
            raise Corrupt("malformed tar: too many pieces in a sparse file")
    return extents, number(header[483:495])


def pax_map(text: bytes) -> Extents:
    """The map of sparse formats 0.0 and 0.1: `offset,length,offset,length…`."""
    return _paired(text.split(b",") if text else [])


def read_map(read: Callable[[int], bytes], available: int) -> tuple[Extents, int]:
    """The map of sparse format 1.0, which precedes the content, and its length in bytes.

    One decimal number a line: how many pieces, then each one's offset and length; padded to a whole
    block.
    """
    text = bytearray()
    lines, wanted = 0, 1
    while lines < wanted:
        if len(text) + _BLOCK > available:
            raise Corrupt("malformed tar: the map of a sparse file is incomplete")
        block = read(_BLOCK)
        text += block
        lines += block.count(b"\n")
        if lines and wanted == 1:
            wanted = 1 + 2 * _decimal(bytes(text[: text.index(b"\n")]))
            if wanted > 2 * _MAX_PIECES:
                raise Corrupt("malformed tar: too many pieces in a sparse file")
    return _paired(bytes(text).split(b"\n", wanted)[1:wanted]), len(text)


def check_extents(extents: Extents, stored: int, size: int) -> None:
    """Raise Corrupt unless the pieces ascend, are inside the file, and have the stored size."""
    at = total = 0
    for offset, length in extents:
        if offset < at or length < 0:
            raise Corrupt("malformed tar: the map of a sparse file is out of order")
        at = offset + length
        total += length
    if not at <= size < 1 << 63 or total != stored:
        raise Corrupt("malformed tar: the map of a sparse file does not fit its content")


def _pairs(data: bytes, number: Callable[[bytes], int]) -> Extents:
    found = []
    for at in range(0, len(data), _PAIR):
        if data[at] == 0:
            break
        found.append((number(data[at : at + 12]), number(data[at + 12 : at + _PAIR])))
    return found


def _paired(numbers: list[bytes]) -> Extents:
    if len(numbers) % 2:
        raise Corrupt("malformed tar: bad map of a sparse file")
    values = [_decimal(text) for text in numbers]
    return list(zip(values[::2], values[1::2], strict=True))


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise Corrupt("malformed tar: bad map of a sparse file")
    return int(text)
