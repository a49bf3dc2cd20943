"""The logs of a build's steps, in a temporary file with an index of their lines.

A page of lines costs the same at any place of a log. The file has the pieces of output in the order
in which they arrived; a step's log is the sequence of its pieces, standard output and standard
error together.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE_BYTES = 4 << 20
_LINE_BYTES = 16 << 10
_BLOCK = 1 << 20
CUT = " … (line is longer)"


class Line(NamedTuple):
    """A line: `number` counts from 0, `time` is in seconds since the epoch, `stream` is 1 or 2."""

    number: int
    time: float
    stream: int
    text: str


class LogSpool:
    """A temporary file without a name for the output of all steps. Close it."""

    def __init__(self, folder: str) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - `close` closes it
        self._size = 0

    def append(self, data: bytes) -> int:
        """Append a piece. Returns its position."""
        at = self._size
        os.pwrite(self._file.fileno(), data, at)
        self._size += len(data)
        return at

    def read(self, at: int, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, at)

    def close(self) -> None:
        self._file.close()


class StepLog:
    """The log of one step. Not thread-safe."""

    def __init__(self, spool: LogSpool) -> None:
        self._spool = spool
        self._starts = array("q")
        self._sizes = array("q")
        self._before = array("q")  # line breaks before each piece
        self._times = array("d")
        self._streams = bytearray()
        self._breaks = 0
        self._open = False
        self.size = 0

    @property
    def lines(self) -> int:
        """The number of lines, including one that is not ended."""
        return self._breaks + self._open

    def add(self, data: bytes, time: float, stream: int) -> None:
        """Add a piece of output."""
        if not data:
            return
        self._starts.append(self._spool.append(data))
        self._sizes.append(len(data))
        self._before.append(self._breaks)
        self._times.append(time)
        self._streams.append(stream if stream in (1, 2) else 1)
        self._breaks += data.count(b"\n")
        self._open = not data.endswith(b"\n")
        self.size += len(data)

    def page(self, first: int, count: int) -> list[Line]:
        """Lines from `first` on: at most `count`, fewer if they are very long."""
        found: list[Line] = []
        last = min(first + count, self.lines)
        if first < 0 or first >= last:
            return found
        piece = max(bisect_left(self._before, first) - 1, 0)
        skip = first - self._before[piece]
        text, begun, length, used = bytearray(), piece, 0, 0
        number = first
        while piece < len(self._starts) and number < last and used < _PAGE_BYTES:
            data = self._read(piece)
            used += len(data)
            parts = data.split(b"\n")
            if skip:
                parts, skip, begun = parts[skip:], 0, piece
            for index, part in enumerate(parts):
                if index:  # a line break precedes it
                    found.append(self._line(number, begun, text, length))
                    number += 1
                    text, length, begun = bytearray(), 0, piece
                    if number == last:
                        return found
                if not length:
                    begun = piece
                length += len(part)
                text += part[: max(0, _LINE_BYTES - len(text))]
            piece += 1
        if number < last and (length or not found):
            found.append(self._line(number, begun, text, length))
        return found

    def find(self, wanted: str, most: int) -> list[int]:
        """The numbers of the first lines that contain a text, regardless of ASCII case."""
        needle = wanted.encode().lower()
        found: list[int] = []
        line = 0
        for block in self._blocks():
            lower = block.lower()
            at = counted = 0
            while (at := lower.find(needle, at)) >= 0:
                line += lower.count(b"\n", counted, at)
                found.append(line)
                if len(found) == most:
                    return found
                end = lower.find(b"\n", at)
                if end < 0:
                    counted = at
                    break
                counted, at = end, end
            line += lower.count(b"\n", counted)
        return found

    def content(self) -> Iterator[bytes]:
        """The whole log in pieces."""
        for piece in range(len(self._starts)):
            yield self._read(piece)

    def _blocks(self) -> Iterator[bytes]:
        """The log in blocks that end with a line break, but for the last one."""
        rest = bytearray()
        for data in self.content():
            rest += data
            if len(rest) >= _BLOCK and (end := rest.rfind(b"\n") + 1):
                yield bytes(rest[:end])
                del rest[:end]
        if rest:
            yield bytes(rest)

    def _line(self, number: int, piece: int, text: bytearray, length: int) -> Line:
        shown = text.decode("utf-8", "replace").rstrip("\r")
        if length > len(text):
            shown += CUT
        return Line(number, self._times[piece], self._streams[piece], shown)

    def _read(self, piece: int) -> bytes:
        return self._spool.read(self._starts[piece], self._sizes[piece])
