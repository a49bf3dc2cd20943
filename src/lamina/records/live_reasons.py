"""Says during a build why its steps miss the cache, compared with earlier builds of the target.

A thread does it, since records of earlier builds have to be read. It is started for the first step
that runs, so a fully cached build pays nothing.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

from lamina.base.digest import Digest
from lamina.base.errors import LaminaError
from lamina.base.events import ReasonEvent
from lamina.records.comparing import StoredBuilds
from lamina.records.explanation import Explainer, explained_steps
from lamina.records.recorded_build import build_of, dockerfile_of
from lamina.records.steps import Definitions, Step
from lamina.records.table import RecordTable, target_of
from lamina.records.wording import short_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lamina.api.history import BuildHistoryRecord
    from lamina.base.events import EventSink, VertexEvent
    from lamina.records.definitions import RecordedDefinition
    from lamina.records.recorded_build import RecordedBuild
    from lamina.solver.lookup import CacheLookup
    from lamina.stores.store import Store

_LONGEST = 200  # characters


class LiveReasons:
    """Explains the steps of a running build. Close it: that waits for what is still to be said.

    Args:
        record: of the build, as it began.
        state: the build's vertices, lookups by vertex, and definitions, so far.
        sink: gets a `ReasonEvent` for each step.
    """

    def __init__(
        self,
        store: Store,
        table: RecordTable,
        record: BuildHistoryRecord,
        state: Callable[
            [],
            tuple[Iterable[VertexEvent], Mapping[str, CacheLookup], Iterable[RecordedDefinition]],
        ],
        sink: EventSink,
    ) -> None:
        self._record = record
        self._state = state
        self._sink = sink
        created = record.created_at
        before = 0.0 if created is None else created.nanoseconds / 1e9
        self._history = StoredBuilds(store, table, target_of(record), before)
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="reasons", daemon=True)
        self._thread.start()

    def explain(self, vertex: str) -> None:
        """A step that missed the cache has started."""
        self._queue.put(vertex)

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (vertex := self._queue.get()) is not None:
                if self._history.earlier(0) is None:
                    return  # the first build of the target: everything is new
                self._say(vertex)
        except LaminaError:
            return  # the store cannot be read; the build will say so, if it matters

    def _say(self, vertex: str) -> None:
        build = self._build()
        for step in explained_steps(build):
            if step.digest == vertex:
                text = short_text(Explainer(build, self._history).explain(step))
                if len(text) > _LONGEST:
                    text = text[: _LONGEST - 1] + "…"
                if text:
                    self._sink(ReasonEvent(Digest(vertex), text))

    def _build(self) -> RecordedBuild:
        vertices, lookups, definitions = self._state()
        known = Definitions()
        dockerfile = ""
        redacted: dict[str, str] = {}
        for definition, renamed in definitions:
            known.add(definition)
            redacted.update(renamed)
            dockerfile = dockerfile or dockerfile_of(definition)
        steps = tuple(
            Step(
                event.digest,
                event.name,
                event.inputs,
                event.started,
                event.completed,
                event.cached,
                event.error,
                lookups.get(event.digest),
                known.ops.get(redacted.get(event.digest, event.digest)),
                known.locations.get(event.digest),
            )
            for event in vertices
        )
        return build_of(self._record, steps, dockerfile)
