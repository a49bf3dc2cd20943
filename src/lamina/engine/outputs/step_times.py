"""The times of a build's steps, for the economics of cache export."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lamina.base.events import VertexEvent

if TYPE_CHECKING:
    from lamina.base.digest import Digest
    from lamina.base.events import Event, EventSink
    from lamina.refs.ref import Ref
    from lamina.solver.job import Job


class StepTimes:
    """Adds up the times of vertices that ran; passes all events to `sink`. Thread-safe."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self._lock = threading.Lock()
        self._seconds: dict[Digest, float] = {}

    def __call__(self, event: Event, /) -> None:
        if (
            isinstance(event, VertexEvent)
            and event.started is not None
            and event.completed is not None
            and not event.cached
        ):
            with self._lock:
                known = self._seconds.get(event.digest, 0.0)
                self._seconds[event.digest] = known + event.completed - event.started
        self._sink(event)

    def by_snapshot(self, job: Job[Ref]) -> dict[int, float]:
        """The seconds of the vertices that made the job's snapshots, by snapshot."""
        with self._lock:
            seconds = dict(self._seconds)
        return {
            ref.snapshot: seconds[node.spec.digest]
            for node in job.nodes.values()
            for ref in (node.results or {}).values()
            if ref.snapshot is not None and node.spec.digest in seconds
        }
