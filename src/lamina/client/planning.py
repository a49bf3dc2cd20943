"""Records the lookups of a planned build, and makes its plan."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lamina.api.timestamp import at_seconds
from lamina.base.events import VertexEvent
from lamina.records.comparing import EarlierBuilds, StoredBuilds
from lamina.records.definitions import recorded_definition
from lamina.records.plan import make_plan
from lamina.records.recorded_build import build_of
from lamina.records.steps import Step, StepFacts
from lamina.records.table import RecordTable, target_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.api.history import BuildHistoryRecord
    from lamina.base.events import Event
    from lamina.llb.op import Definition
    from lamina.records.plan import BuildPlan
    from lamina.solver.lookup import CacheLookup
    from lamina.solver.planning import PlannedVertex
    from lamina.stores.store import Store


class PlanRecorder:
    """Implements `lamina.engine.build.LookupRecorder`, and receives the events of the build."""

    def __init__(self) -> None:
        self._vertices: dict[str, VertexEvent] = {}
        self._facts = StepFacts()

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, VertexEvent):
            self._vertices.setdefault(event.digest, event)

    def look_up(self, lookup: CacheLookup) -> None:
        self._facts.look_up(lookup)

    def define(self, definition: Definition) -> None:
        recorded, renamed = recorded_definition(definition)
        self._facts.redact(renamed)
        self._facts.define(recorded)

    def plan(
        self, store: Store, record: BuildHistoryRecord, vertices: Sequence[PlannedVertex]
    ) -> BuildPlan:
        """The plan of the build of `record`."""
        steps = tuple(
            self._facts.complete(Step(event.digest, event.name, event.inputs))
            for vertex in vertices
            if (event := self._vertices.get(vertex.digest)) is not None
        )
        build = build_of(
            record._replace(created_at=at_seconds(time.time())), steps, self._facts.dockerfile
        )
        history = EarlierBuilds(
            StoredBuilds(store, RecordTable(store)), target_of(record), build.started
        )
        pushed = [
            name for output in record.exporters for name in _pushed(output.type, dict(output.attrs))
        ]
        return make_plan(build, vertices, history, tuple(pushed))


def _pushed(kind: str, attributes: Mapping[str, str]) -> list[str]:
    if kind != "registry" and attributes.get("push") != "true":
        return []
    return [name for name in attributes.get("name", "").split(",") if name]
