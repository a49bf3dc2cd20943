"""The state of the progress after the events so far: vertices by appearance, groups merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.events import (
    LogEvent,
    ReasonEvent,
    ResourceEvent,
    StatusEvent,
    VertexEvent,
    WarningEvent,
)

if TYPE_CHECKING:
    from lamina.base.events import Event

_CANCELLED = ("context canceled", "cancelled", "canceled")


def merge_intervals(
    intervals: dict[float, float | None],
) -> list[tuple[float, float | None]]:
    """Merge overlapping (start, stop) pairs. A stop of None is still running."""
    merged: list[tuple[float, float | None]] = []
    for start, stop in sorted(intervals.items()):
        if merged:
            last_start, last_stop = merged[-1]
            if last_stop is None:
                break
            if start <= last_stop:
                merged[-1] = (last_start, None if stop is None else max(stop, last_stop))
                continue
        merged.append((start, stop))
    return merged


class Vertex:
    """A vertex, or a group of them, as one line of progress.

    `number` is 0 until a renderer assigns one; `intervals` are its starts and stops.
    """

    __slots__ = (
        "_members",
        "cached",
        "changed",
        "error",
        "hidden",
        "intervals",
        "name",
        "number",
        "reason",
        "statuses",
        "warnings",
    )

    def __init__(self, name: str, *, hidden: bool = False) -> None:
        self.name = name
        self.number = 0
        self.intervals: list[tuple[float, float | None]] = []
        self.cached = False
        self.error = ""
        self.hidden = hidden
        self.reason = ""  # the cause of its cache miss
        self.statuses: dict[str, StatusEvent] = {}
        self.changed: set[str] = set()
        self.warnings: list[WarningEvent] = []
        self._members: dict[str, tuple[VertexEvent, dict[float, float | None]]] = {}

    @property
    def started(self) -> float | None:
        """The time of its last start."""
        return self.intervals[-1][0] if self.intervals else None

    @property
    def completed(self) -> float | None:
        """The time of its last end, None while it runs."""
        return self.intervals[-1][1] if self.intervals else None

    @property
    def cancelled(self) -> bool:
        return self.error.endswith(_CANCELLED)

    def seconds(self, now: float) -> float:
        """The total duration of its runs."""
        return sum((now if stop is None else stop) - start for start, stop in self.intervals)

    def take(self, event: VertexEvent) -> None:
        """Apply the current state of the vertex, or of a member of the group."""
        _, times = self._members.get(event.digest, (event, {}))
        if event.started is not None:
            times[event.started] = event.completed
            if event.group is None or not event.group.weak:
                self.hidden = False
        elif times:
            return  # a late duplicate of the announcement
        self._members[event.digest] = (event, times)
        members = [member for member, _ in self._members.values()]
        if event.group is None:
            self.name = event.name
        self.cached = all(member.cached for member in members)
        self.error = next((member.error for member in members if member.error), "")
        if self.error:
            self.hidden = False
        together: dict[float, float | None] = {}
        for _, times in self._members.values():
            for start, stop in times.items():
                known = together.get(start, start)
                together[start] = None if stop is None or known is None else max(known, stop)
        self.intervals = merge_intervals(together)


class Trace:
    """Applies events. `vertices` contains the started ones, in that order."""

    def __init__(self) -> None:
        self.vertices: list[Vertex] = []
        self.started: float | None = None
        self._shown: set[Vertex] = set()
        self._by_digest: dict[str, Vertex] = {}
        self._groups: dict[str, Vertex] = {}

    def apply(self, event: Event) -> Vertex | None:
        """Apply an event. Returns the vertex whose display changes, None if it is unknown."""
        if isinstance(event, VertexEvent):
            return self._vertex(event)
        vertex = self._by_digest.get(event.vertex)
        if isinstance(event, ResourceEvent):
            return None  # nothing to display
        if vertex is None or isinstance(event, LogEvent):
            return vertex
        if isinstance(event, WarningEvent):
            vertex.warnings.append(event)
        elif isinstance(event, ReasonEvent):
            vertex.reason = event.text
        elif event.started is not None or event.id in vertex.statuses:
            vertex.statuses[event.id] = event
            vertex.changed.add(event.id)
        return vertex

    def counts(self, *, ended: bool = False) -> tuple[int, int]:
        """The number of completed vertices, and of all known ones.

        After a build has `ended` successfully, vertices that it did not need are not counted.
        """
        visible = {vertex for vertex in self._by_digest.values() if not vertex.hidden}
        if ended and not any(vertex.error for vertex in visible):
            visible = {vertex for vertex in visible if vertex.intervals}
        return sum(vertex.completed is not None for vertex in visible), len(visible)

    def _vertex(self, event: VertexEvent) -> Vertex:
        vertex = self._by_digest.get(event.digest)
        if vertex is None:
            if event.group is None:
                vertex = Vertex(event.name)
            else:
                vertex = self._groups.get(event.group.id)
                if vertex is None:
                    vertex = self._groups[event.group.id] = Vertex(event.group.name, hidden=True)
            self._by_digest[event.digest] = vertex
        vertex.take(event)
        if self.started is None:
            self.started = event.started
        if vertex.intervals and not vertex.hidden and vertex not in self._shown:
            self._shown.add(vertex)
            self.vertices.append(vertex)
        return vertex
