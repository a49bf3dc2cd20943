"""Formats a vertex's log for plain output: each line gets a prefix, and the last one may be
open."""

from __future__ import annotations

from collections import deque

_OPEN_LIMIT = 1 << 16
_LAST = 10


class LogLines:
    """Converts bytes to prefixed lines. `held` is the number of bytes that are not printed yet.

    An unfinished line is printed so far, and continued in place. If something else was printed in
    between, it is printed again from its start (or, if it is longer than `_OPEN_LIMIT`, from the
    current position).
    """

    __slots__ = (
        "_blocks",
        "_cursor_here",
        "_grown",
        "_last",
        "_open",
        "_shown",
        "_unfinished",
        "held",
    )

    def __init__(self) -> None:
        self.held = 0
        # Complete lines, without the last newline, and the timestamp that each of them begins with.
        self._blocks: list[tuple[bytes, bytes]] = []
        self._open = bytearray()
        self._unfinished = False
        self._grown = False  # whether the open line has grown since it was printed
        # How much of the first pending text is already printed, and whether that is the last line
        # of the output.
        self._shown = 0
        self._cursor_here = False
        self._last: deque[bytes] = deque(maxlen=_LAST)

    def add(self, data: bytes, seconds: float) -> None:
        """Add output. A line that begins here shows `seconds`, the time since the start."""
        stamp = b"%.*f " % (3 if seconds < 10 else 2 if seconds < 100 else 1, max(seconds, 0.0))
        self.held += len(data)
        lines, newline, unfinished = data.rpartition(b"\n")
        if newline and self._unfinished:
            rest, newline, lines = lines.partition(b"\n")
            self._add_lines(b"", bytes(self._open) + rest)
            self._open.clear()
            self._unfinished = False
        if newline:
            self._add_lines(stamp, lines)
        if unfinished:
            if not self._unfinished:
                self._open += stamp
            self._open += unfinished
            self._unfinished = self._grown = True

    def _add_lines(self, stamp: bytes, lines: bytes) -> None:
        self._blocks.append((stamp, lines))
        self._last.extend(stamp + line for line in lines.rsplit(b"\n", _LAST)[-_LAST:])

    def take(self, prefix: bytes) -> bytes:
        """The text to write now. Each line begins with `prefix`."""
        self.held = 0
        parts: list[bytes] = []
        for stamp, lines in self._blocks:
            self._put(parts, prefix, stamp + lines.replace(b"\n", b"\n" + prefix + stamp))
            parts.append(b"\n")
            self._cursor_here = False
            self._shown = 0
        self._blocks.clear()
        if self._unfinished and self._grown:
            self._grown = False
            self._put(parts, prefix, bytes(self._open))
            self._cursor_here = True
            self._shown = len(self._open)
            if self._shown > _OPEN_LIMIT:
                self._open.clear()
                self._shown = 0
        return b"".join(parts)

    def end_line(self) -> bool:
        """End the open line if the cursor is in it. Returns whether a newline must be written."""
        was_here = self._cursor_here
        self._cursor_here = False
        self._shown = 0
        return was_here

    def last(self) -> list[bytes]:
        """The last ten lines, for the report of an error."""
        lines = [*self._last, bytes(self._open)] if self._open else list(self._last)
        return lines[-_LAST:]

    def _put(self, parts: list[bytes], prefix: bytes, text: bytes) -> None:
        if self._cursor_here:
            parts.append(text[self._shown :])
        else:
            parts += (prefix, text)
