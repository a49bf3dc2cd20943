"""Splits a zstd stream into pieces that inflate to a bounded size (RFC 8878, section 3).

The streaming interface of libzstd for Python returns everything that its input inflates to, and
four bytes can be a block of 128 KiB. A block is never larger, so it gets only a few at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.layers.reader import ByteReader

_READ = 1 << 18
_AT_ONCE = 8  # blocks
_FRAME = 0xFD2FB528
_SKIPPABLE = 0x184D2A5
_RLE, _RESERVED = 1, 3


def zstd_blocks(stream: ByteReader) -> Iterator[bytes]:
    """The frames of a stream, without skippable ones. No piece spans two frames.

    Raises Corrupt if the stream is incomplete or not zstd.
    """
    source = _Source(stream)
    while magic := source.take(4, at_end=True):
        number = int.from_bytes(magic, "little")
        if number >> 4 == _SKIPPABLE:
            source.skip(int.from_bytes(source.take(4), "little"))
        elif number == _FRAME:
            yield from _frame(magic, source)
        else:
            raise Corrupt("damaged zstd stream: a frame is followed by other data")


def _frame(magic: bytes, source: _Source) -> Iterator[bytes]:
    descriptor = source.take(1)
    flags = descriptor[0]
    single_segment = flags >> 5 & 1
    size_field = (single_segment, 2, 4, 8)[flags >> 6]
    dictionary_field = (0, 1, 2, 4)[flags & 3]
    piece = [magic, descriptor, source.take(1 - single_segment + dictionary_field + size_field)]
    blocks = 0
    last = False
    while not last:
        header = source.take(3)
        number = int.from_bytes(header, "little")
        last, kind = bool(number & 1), number >> 1 & 3
        if kind == _RESERVED:
            raise Corrupt("damaged zstd stream: a block of an unknown type")
        piece += (header, source.take(1 if kind == _RLE else number >> 3))
        blocks += 1
        if blocks == _AT_ONCE and not last:
            yield b"".join(piece)
            piece.clear()
            blocks = 0
    if flags >> 2 & 1:
        piece.append(source.take(4))  # checksum
    yield b"".join(piece)


class _Source:
    """Reads exact numbers of bytes from a stream."""

    def __init__(self, stream: ByteReader) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0

    def take(self, size: int, *, at_end: bool = False) -> bytes:
        """Read `size` bytes. Raises Corrupt if there are fewer; with `at_end`, the end of the
        stream is allowed."""
        end = self._at + size
        while end > len(self._buffer):
            more = self._stream.read(_READ)
            if not more:
                if at_end and self._at == len(self._buffer):
                    return b""
                raise Corrupt("the zstd stream ends early")
            self._buffer = self._buffer[self._at :] + more
            self._at, end = 0, size
        data = self._buffer[self._at : end]
        self._at = end
        return data

    def skip(self, size: int) -> None:
        while size:
            size -= len(self.take(min(size, _READ)))
