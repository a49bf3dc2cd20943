"""Explains cache misses during a build, by comparing it with earlier builds of the target.

This runs in a thread, because it reads records of earlier builds. It is started for the first step
that runs, so a fully cached build pays nothing.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

from lamina.base.digest import Digest
from lamina.base.events import ReasonEvent
from lamina.records.comparing import EarlierBuilds, StoredBuilds
from lamina.records.explanation import Explainer, explained_steps
from lamina.records.recorded_build import build_of
from lamina.records.steps import StepFacts, step_of
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
_LOG_LIMIT = 8 << 20  # bytes of an earlier build's log: reading a larger one takes too long
_MOST_STEPS = 2000


class LiveReasons:
    """Explains the steps of a running build. Close it: that discards pending explanations.

    Steps that start while others are explained are explained together. A build with very many steps
    is not explained, nor is one compared with a build whose log is very large. Errors are
    discarded: explanations never make a build fail.

    Args:
        record: the record of the build at its start.
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
        self._history = EarlierBuilds(
            StoredBuilds(store, table), target_of(record), before, log_limit=_LOG_LIMIT
        )
        self._facts = StepFacts()
        self._read = 0  # definitions
        self._closing = False
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = threading.Thread(
            target=self._run, name="reasons", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:
            self._thread = None  # the limit of threads is reached

    def explain(self, vertex: str) -> None:
        """Queue a step that missed the cache and has started."""
        self._queue.put(vertex)

    def close(self) -> None:
        self._closing = True
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            while vertices := self._next():
                if self._history.earlier(0) is None:
                    return  # the first build of the target: all steps are new
                build = self._build()
                if len(build.steps) > _MOST_STEPS:
                    return
                self._say(build, vertices)
        except Exception:
            # The store cannot be read, which the build will report if it matters, or another error
            # occurred: the build must continue, and show no traceback of this thread.
            return

    def _next(self) -> set[str]:
        """The steps that have started meanwhile; waits for one. Empty at the end."""
        found: set[str] = set()
        while not found or not self._queue.empty():
            vertex = self._queue.get()
            if vertex is None or self._closing:
                return set()
            found.add(vertex)
        return found

    def _say(self, build: RecordedBuild, vertices: set[str]) -> None:
        explainer = Explainer(build, self._history)
        for step in explained_steps(build):
            if self._closing:
                return
            if step.digest in vertices:
                text = short_text(explainer.explain(step))
                if len(text) > _LONGEST:
                    text = text[: _LONGEST - 1] + "…"
                if text:
                    self._sink(ReasonEvent(Digest(step.digest), text))

    def _build(self) -> RecordedBuild:
        vertices, lookups, definitions = self._state()
        new = list(definitions)[self._read :]
        self._read += len(new)
        for definition, renamed in new:
            self._facts.define(definition)
            self._facts.redact(renamed)
        for lookup in lookups.values():
            self._facts.look_up(lookup)
        steps = tuple(self._facts.complete(step_of(event)) for event in vertices)
        return build_of(self._record, steps, self._facts.dockerfile)
