"""`--progress=tty`: a list of vertices that is redrawn in place.

`frame` is a pure function of the state; `TtyRenderer` draws each frame over the previous one. A
frame is one write that hides the cursor first and shows it last, so that a process that is killed
leaves the terminal usable.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.events import LogEvent
from lamina.base.named_tuple import NamedTuple
from lamina.cli.progress.colors import paint
from lamina.cli.progress.plain import amount
from lamina.cli.progress.spool import LogSpool
from lamina.cli.progress.state import Trace
from lamina.cli.progress.text import LogTail, align, clip, plain, width
from lamina.cli.terminal import TerminalFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.events import Event
    from lamina.cli.progress.colors import Colors
    from lamina.cli.progress.state import Vertex

_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_LOG_LINES = 6
_MIN_NAME = 12


class _Row(NamedTuple):
    name: str
    seconds: float
    running: bool
    status: str = ""
    color: str = ""
    logs: tuple[str, ...] = ()


class TtyRenderer:
    """Draws on `out`, which takes bytes and must write them all.

    `size` returns the current columns and lines; `environ` may contain `BUILDKIT_TTY_LOG_LINES`.
    """

    def __init__(
        self,
        out: Callable[[bytes], object],
        size: Callable[[], tuple[int, int]],
        colors: Colors,
        log_lines: int = _LOG_LINES,
    ) -> None:
        self._out = out
        self._size = size
        self._colors = colors
        self._log_lines = log_lines
        self._trace = Trace()
        self._tails: dict[Vertex, LogTail] = {}
        self._spools: dict[Vertex, LogSpool] = {}
        self._drawn: list[int] = []

    def update(self, events: Sequence[Event], now: float) -> None:
        for event in events:
            vertex = self._trace.apply(event)
            if vertex is not None and isinstance(event, LogEvent):
                self._tails.setdefault(vertex, LogTail(self._log_lines)).add(event.data)
                self._spools.setdefault(vertex, LogSpool()).add(event.data)
            elif vertex in self._spools and vertex.completed is not None and not vertex.error:
                self._spools.pop(vertex).drop()
        if self._trace.vertices:
            self._draw(now, whole=False)

    def leave(self) -> None:
        self._drawn = []

    def finish(self, now: float) -> None:
        try:
            self._draw(now, whole=True)
            for vertex in self._trace.vertices:
                if vertex.error and not vertex.cancelled:
                    self._report(vertex)
        finally:
            for spool in self._spools.values():
                spool.drop()

    def frame(self, now: float, columns: int, lines: int, *, whole: bool) -> list[str]:
        """The lines to show, coloured: all if `whole`, else those that fit into the terminal."""
        done, known = self._trace.counts(ended=whole)
        started = now if self._trace.started is None else self._trace.started
        ending = " FINISHED" if whole and done == known and done else ""
        header = f"[+] Building {max(now - started, 0.0):.1f}s ({done}/{known}){ending}"
        rows = [row for vertex in self._trace.vertices for row in self._rows(vertex, now)]
        if not whole:
            rows = self._fit(rows, lines - 2)
        shown = [clip(header, columns)]
        for row in rows:
            if line := _row_text(row, columns):
                shown.append(paint(line, row.color))
                shown += (
                    paint(clip(f" => => # {text}", columns - 1), self._colors.faint)
                    for text in row.logs
                )
        return shown

    def _rows(self, vertex: Vertex, now: float) -> list[_Row]:
        running = vertex.completed is None
        word, color = "", "" if running else self._colors.run
        if vertex.cancelled:
            word, color = "CANCELED ", self._colors.cancel
        elif vertex.error:
            word, color = "ERROR ", self._colors.error
        elif vertex.cached:
            word = "CACHED "
        logs: tuple[str, ...] = ()
        if running and vertex in self._tails:
            logs = tuple(self._tails[vertex].show())
        rows = [_Row(word + plain(vertex.name), vertex.seconds(now), running, "", color, logs)]
        if vertex.reason and not vertex.cached:
            rows.append(_Row(f"=> {plain(vertex.reason)}", 0.0, False, "", self._colors.faint))
        for status in vertex.statuses.values():
            end = now if status.completed is None else status.completed
            begun = end if status.started is None else status.started
            is_open = status.completed is None and running
            if status.completed is None and not running and vertex.completed is not None:
                end = max(vertex.completed, begun)
            name = f"=> {plain(status.id)}"
            color = "" if is_open else self._colors.run
            rows.append(_Row(name, end - begun, is_open, amount(status), color))
        rows += (
            _Row(f"WARN: {plain(warning.short)}", 0.0, False, "", self._colors.warning)
            for warning in vertex.warnings
        )
        return rows

    def _fit(self, rows: list[_Row], room: int) -> list[_Row]:
        """Drop rows until the frame fits: the oldest completed ones, then the shortest logs, then
        any."""
        running = sum(row.running for row in rows)
        free = room - running
        kept: list[_Row] = []
        for row in reversed(rows):
            logs = row.logs if row.logs and free >= len(row.logs) + 3 else ()
            free -= len(logs)
            kept.append(row._replace(logs=logs))
        kept.reverse()
        room -= sum(len(row.logs) for row in kept)
        excess = len(kept) - room
        fitting: list[_Row] = []
        for row in kept:
            if excess > 0 and not row.running:
                excess -= 1
            else:
                fitting.append(row)
        return fitting[max(excess, 0) :]

    def _draw(self, now: float, *, whole: bool) -> None:
        columns, lines = self._size()
        # A terminal that became narrower has wrapped the old frame, which takes more lines now.
        up = sum(max(1, -(-cells // columns)) for cells in self._drawn)
        shown = self.frame(now, columns, lines, whole=whole)
        start = f"\x1b[{up}A\r" if up else "\r"
        text = "".join(f"{line}\x1b[K\n" for line in shown)
        self._out(f"{_HIDE}{start}{text}\x1b[J{_SHOW}".encode("utf-8", "replace"))
        self._drawn = [_visible_width(line) for line in shown]

    def _report(self, vertex: Vertex) -> None:
        self._out(f"------\n > {plain(vertex.name)}:\n".encode())
        shown = TerminalFilter()
        last = b"\n"
        if vertex in self._spools:
            for chunk in self._spools[vertex].chunks():
                self._out(shown(chunk))
                last = chunk
        self._out((b"" if last.endswith(b"\n") else b"\n") + b"------\n")


def _row_text(row: _Row, columns: int) -> str:
    seconds = row.seconds if row.seconds >= 0.05 else 0.0
    timer = f"{seconds:3.1f}s"
    left = columns - len(" => ") - len(timer) - 3
    status = row.status
    if status and left - len(status) - 1 >= _MIN_NAME:
        left -= len(status) + 1
    else:
        status = ""
    if left < _MIN_NAME:
        return ""
    name = clip(row.name, left)
    return align(f" => {name} {status}" if status else f" => {name}", timer, columns - 1)


def _visible_width(line: str) -> int:
    if line.startswith("\x1b["):
        line = line[line.index("m") + 1 :].removesuffix("\x1b[0m")
    return width(line)


def terminal_size(descriptor: int) -> tuple[int, int]:
    """The columns and lines of a terminal, 80 by 24 if it reports none."""
    try:
        size = os.get_terminal_size(descriptor)
    except OSError:
        return 80, 24
    return (size.columns or 80, size.lines or 24)
