"""What a node has told so far, for jobs that come to it later.

A client that joins a step sees it from its beginning, as with BuildKit. Of a long output the
beginning and the latest are kept, so that no step holds more than so much memory.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from lamina.base.events import LogEvent, StatusEvent, VertexEvent, WarningEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.base.events import Event

_KEPT = 1 << 20
"""Bytes of output kept of the beginning, and as many of the latest."""


class Past:
    """Events of one node. `lock` is held by the caller of each method: who joins must miss
    nothing and hear nothing twice."""

    __slots__ = (
        "_first",
        "_first_size",
        "_latest",
        "_latest_size",
        "_left_out",
        "_state",
        "_statuses",
        "_warnings",
        "lock",
    )

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._state: VertexEvent | None = None
        self._statuses: dict[str, StatusEvent] = {}
        self._warnings: list[WarningEvent] = []
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
            self._state = event
        else:
            self._warnings.append(event)

    @property
    def running(self) -> VertexEvent | None:
        """The vertex, if it has started and not ended."""
        state = self._state
        return None if state is None or state.completed is not None else state

    def events(self) -> Iterator[Event]:
        """All in an order in which they can be shown; the vertex first, in its present state."""
        if self._state is not None:
            yield self._state
        yield from self._statuses.values()
        yield from self._warnings
        yield from self._first
        if self._left_out:
            next_one = self._latest[0]
            yield next_one._replace(data=b"\n[%d bytes are left out here]\n" % self._left_out)
        yield from self._latest

    def _log(self, event: LogEvent) -> None:
        size = len(event.data)
        if not self._latest and self._first_size + size <= _KEPT:
            self._first.append(event)
            self._first_size += size
            return
        self._latest.append(event)
        self._latest_size += size
        while self._latest_size > _KEPT and len(self._latest) > 1:
            gone = len(self._latest.popleft().data)
            self._latest_size -= gone
            self._left_out += gone
