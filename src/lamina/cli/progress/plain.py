"""`--progress=plain`: BuildKit's line format, `#8 0.391 gin/foo`.

Vertices that run concurrently share the output. The current one keeps it while it is active, a
finished one is printed at once, and none waits longer than `_MAX_DELAY`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.events import LogEvent, VertexEvent
from lamina.cli.progress.loglines import LogLines
from lamina.cli.progress.state import Trace
from lamina.cli.progress.text import encoded, plain
from lamina.cli.units import show_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lamina.base.events import Event, StatusEvent
    from lamina.cli.progress.state import Vertex

_ANTI_FLICKER = 5.0
_MAX_DELAY = 10.0
_MAX_HELD = 1 << 20
_MIN_STEP = 0.05
_MIN_SECONDS = 5.0


class _Line:
    """The pending output of one vertex."""

    __slots__ = ("ended", "held_since", "logs", "printed", "reasoned", "updates", "warned")

    def __init__(self) -> None:
        self.logs = LogLines()
        self.updates = 0
        self.held_since = 0.0
        self.printed: dict[str, StatusEvent] = {}
        self.warned = 0
        self.ended = False
        self.reasoned = False


class PlainRenderer:
    """Writes to `out`, which takes bytes and must write them all.

    Args:
        numbers: of vertices by digest; others are numbered in order of appearance.
    """

    def __init__(
        self, out: Callable[[bytes], object], numbers: Mapping[str, int] | None = None
    ) -> None:
        self._out = out
        self._numbers = numbers or {}
        self._switched = False
        self._trace = Trace()
        self._lines: dict[Vertex, _Line] = {}
        self._due: dict[Vertex, None] = {}
        self._current: Vertex | None = None
        self._numbered = 0
        self._last: dict[str, VertexEvent] = {}

    def update(self, events: Sequence[Event], now: float) -> None:
        for event in events:
            vertex = self._trace.apply(event)
            if vertex is None or not self._is_change(event):
                continue
            if not vertex.number and isinstance(event, VertexEvent):
                vertex.number = self._numbers.get(event.digest, 0)
            line = self._lines.setdefault(vertex, _Line())
            if not line.updates:
                line.held_since = now
            line.updates += 1
            if isinstance(event, LogEvent):
                line.logs.add(event.data, event.timestamp - (vertex.started or event.timestamp))
                if line.logs.held > _MAX_HELD:
                    self._print(vertex, now)
                    continue
            self._due[vertex] = None
        self._show_due(now)

    def leave(self) -> None:
        return

    def finish(self, now: float) -> None:
        self._show_due(now)
        for vertex in self._trace.vertices:
            line = self._lines.get(vertex)
            unsaid = vertex.completed is not None and line is not None and not line.ended
            if vertex in self._due or unsaid:
                self._print(vertex, now, ending=True)
        self._end_line(self._current)
        for vertex in self._trace.vertices:
            if vertex.error and not vertex.cancelled:
                self._out(encoded(f"------\n > {vertex.name}:\n"))
                for text in self._lines[vertex].logs.last():
                    self._out(text + b"\n")
                self._out(b"------\n")

    def _is_change(self, event: Event) -> bool:
        """Whether an event changes the output. Announcements and repetitions do not."""
        if not isinstance(event, VertexEvent):
            return True
        if event.started is None and not event.error:
            return False
        known = self._last.get(event.digest)
        self._last[event.digest] = event
        return known is None or known._replace(inputs=event.inputs) != event

    def _show_due(self, now: float) -> None:
        due = [vertex for vertex in self._due if vertex.intervals and not vertex.hidden]
        done = [vertex for vertex in due if vertex.completed is not None]
        done.sort(key=lambda vertex: (vertex is not self._current, vertex.completed))
        before = self._current
        for vertex in done:
            self._print(vertex, now)
        busy = [vertex for vertex in due if vertex.completed is None]
        if before in busy:
            self._print(before, now)
        elif before is None or before in done:
            if busy:
                self._print(max(busy, key=lambda vertex: self._speed(vertex, now)), now)
            elif self._current is None:
                self._show_something(now)
            return
        others = [vertex for vertex in busy if vertex is not before]
        for vertex in others:
            if now - self._lines[vertex].held_since > _MAX_DELAY:
                self._print(vertex, now)
                return
        self._take_turns(before, others, now)

    def _take_turns(self, current: Vertex | None, others: list[Vertex], now: float) -> None:
        """Give the output to the vertex with most pending output when the current one's time is
        over."""
        if current is None or not others:
            return
        mine = self._speed(current, now)
        share = mine / (mine + sum(self._speed(vertex, now) for vertex in others))
        held = now - self._lines[current].held_since
        if share < 1 and _ANTI_FLICKER / (1 - share) < held:
            self._print(max(others, key=lambda vertex: self._speed(vertex, now)), now)

    def _show_something(self, now: float) -> None:
        for vertex in self._trace.vertices:
            if vertex.completed is None:
                self._lines.setdefault(vertex, _Line())
                self._print(vertex, now)
                return

    def _speed(self, vertex: Vertex, now: float) -> float:
        line = self._lines[vertex]
        return line.updates / max(now - line.held_since, 1e-3)

    def _print(self, vertex: Vertex, now: float, *, ending: bool = False) -> None:
        line = self._lines[vertex]
        self._due.pop(vertex, None)
        # it arrives after the end, if that was already printed
        late = bool(vertex.reason) and not line.reasoned
        if vertex is not self._current:
            self._switch(vertex)
        prefix = f"#{vertex.number} "
        if vertex.reason and not line.reasoned:
            line.reasoned = True
            self._say(line, f"{prefix}not cached: {plain(vertex.reason)}")
        open_status = self._print_statuses(vertex, line, prefix)
        for warning in vertex.warnings[line.warned :]:
            self._say(line, f"{prefix}WARN: {warning.short}")
        line.warned = len(vertex.warnings)
        self._out(line.logs.take(prefix.encode()))
        self._current = vertex
        settled = ending or bool(vertex.error) or not open_status
        was_ended, line.ended = line.ended and late, vertex.completed is not None and settled
        if line.ended and was_ended:
            self._current = None
        elif line.ended:
            self._say(line, prefix + _ending(vertex, now))
            self._current = None
            line.updates = 0

    def _switch(self, vertex: Vertex) -> None:
        before = self._current
        if before is not None:
            self._end_line(before)
            self._lines[before].updates = 0
            self._out(f"#{before.number} ...\n".encode())
        if self._switched:
            self._out(b"\n")
        self._switched = True
        if not vertex.number:
            self._numbered += 1
            vertex.number = self._numbered
        self._out(encoded(f"#{vertex.number} {vertex.name}\n"))

    def _print_statuses(self, vertex: Vertex, line: _Line, prefix: str) -> bool:
        is_open = False
        for status in vertex.statuses.values():
            if status.id not in vertex.changed or not _worth_printing(line, status):
                continue
            line.printed[status.id] = status
            is_open = is_open or status.completed is None
            self._say(line, f"{prefix}{_status_text(status)}")
        vertex.changed.clear()
        return is_open

    def _say(self, line: _Line, text: str) -> None:
        if line.logs.end_line():
            self._out(b"\n")
        self._out(encoded(text) + b"\n")

    def _end_line(self, vertex: Vertex | None) -> None:
        if vertex is not None and self._lines[vertex].logs.end_line():
            self._out(b"\n")


def _worth_printing(line: _Line, status: StatusEvent) -> bool:
    last = line.printed.get(status.id)
    if last is None or status.completed is not None:
        return last is None or last.completed is None
    step = (status.current - last.current) / status.total if status.total else 0.0
    return step >= _MIN_STEP or status.timestamp - last.timestamp >= _MIN_SECONDS


def amount(status: StatusEvent) -> str:
    """`1.05MB / 3.00MB`, `1.05MB`, or "" if nothing is known."""
    if status.total:
        return f"{show_size(status.current)} / {show_size(status.total)}"
    return show_size(status.current) if status.current else ""


def _status_text(status: StatusEvent) -> str:
    words = [status.id]
    if text := amount(status):
        words.append(text)
    end = status.timestamp if status.completed is None else status.completed
    if status.started is not None and end - status.started > 0.01:
        words.append(f"{end - status.started:.1f}s")
    if status.completed is not None:
        words.append("done")
    return " ".join(words)


def _ending(vertex: Vertex, now: float) -> str:
    if vertex.cancelled:
        return "CANCELED"
    if vertex.error:
        return f"ERROR: {vertex.error}"
    if vertex.cached:
        return "CACHED"
    return f"DONE {vertex.seconds(now):.1f}s"
