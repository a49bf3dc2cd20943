"""The events of a node so far, for jobs that join it later.

A client that joins a running step sees its whole output, as with BuildKit. Of a long output only
the beginning and the end are kept, which bounds the memory.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from lamina.base.events import LogEvent, ResourceEvent, StatusEvent, VertexEvent, WarningEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.base.events import Event
    from lamina.base.resources import ResourceUsage

_KEPT = 1 << 20
"""The number of bytes of output that are kept from the beginning, and from the end."""


class EventBacklog:
    """Events of one node.

    The caller of every method holds `lock`: a job that joins must get each event exactly once, so
    reading the backlog and joining are one critical section.
    """

    __slots__ = (
        "_first",
        "_first_size",
        "_latest",
        "_latest_size",
        "_left_out",
        "_resources",
        "_statuses",
        "_vertex",
        "_warnings",
        "lock",
    )

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._vertex: VertexEvent | None = None
        self._statuses: dict[str, StatusEvent] = {}
        self._warnings: list[WarningEvent] = []
        self._resources: ResourceEvent | None = None
        self._first: list[LogEvent] = []
        self._first_size = 0
        self._latest: deque[LogEvent] = deque()
        self._latest_size = 0
        self._left_out = 0

    def add(self, event: Event) -> None:
        if isinstance(event, LogEvent):
            self._log(event)
        elif isinstance(event, StatusEvent):
            self._statuses[event.id] = event
        elif isinstance(event, VertexEvent):
            self._vertex = event
        elif isinstance(event, WarningEvent):
            self._warnings.append(event)
        elif isinstance(event, ResourceEvent):
            self._resources = event

    @property
    def running(self) -> VertexEvent | None:
        """The vertex event of a step that has started and not completed."""
        vertex = self._vertex
        return None if vertex is None or vertex.completed is not None else vertex

    @property
    def usage(self) -> tuple[float, ResourceUsage] | None:
        """The time when a step completed, and the resources that it used, if they are known."""
        vertex, resources = self._vertex, self._resources
        if resources is None or vertex is None or vertex.completed is None:
            return None
        return vertex.completed, resources.usage

    def events(self) -> Iterator[Event]:
        """All events in an order that can be displayed: first the vertex, as it is now."""
        if self._vertex is not None:
            yield self._vertex
        yield from self._statuses.values()
        yield from self._warnings
        yield from self._first
        if self._left_out:
            next_one = self._latest[0]
            yield next_one._replace(data=b"\n[%d bytes are left out here]\n" % self._left_out)
        yield from self._latest
        if self._resources is not None:
            yield self._resources

    def _log(self, event: LogEvent) -> None:
        size = len(event.data)
        if not self._latest and self._first_size + size <= _KEPT:
            self._first.append(event)
            self._first_size += size
            return
        self._latest.append(event)
        self._latest_size += size
        while self._latest_size > _KEPT and len(self._latest) > 1:
            dropped = len(self._latest.popleft().data)
            self._latest_size -= dropped
            self._left_out += dropped
