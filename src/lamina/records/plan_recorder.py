"""Records the lookups of a planned build, and makes its plan."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from lamina.api.timestamp import at_seconds
from lamina.base.digest import Digest
from lamina.base.events import VertexEvent
from lamina.records.build_outputs import outputs_of
from lamina.records.comparing import EarlierBuilds, StoredBuilds
from lamina.records.definitions import recorded_definition
from lamina.records.missing_layers import missing_size
from lamina.records.plan import Transfer, make_plan
from lamina.records.recorded_build import build_of
from lamina.records.steps import Step, StepFacts
from lamina.records.table import RecordTable, target_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.api.history import BuildHistoryRecord
    from lamina.base.events import Event
    from lamina.llb.op import Definition
    from lamina.records.plan import BuildPlan
    from lamina.solver.lookup import CacheLookup
    from lamina.solver.planning import PlannedVertex
    from lamina.stores.blobs import BlobStore
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
        target, builds = target_of(record), StoredBuilds(store, RecordTable(store))
        history = EarlierBuilds(builds, target, build.started)
        before = builds.latest(target, build.started) if target else None
        return make_plan(
            build,
            vertices,
            history,
            tuple(_pushed(record, before, store.blobs)),
            partial(missing_size, store.blobs),
        )


def _pushed(
    record: BuildHistoryRecord, before: BuildHistoryRecord | None, blobs: BlobStore
) -> Iterator[Transfer]:
    """The images that a build pushes, with the sizes of those from the previous build."""
    made = () if before is None else outputs_of(before, lambda digest: blobs.read(Digest(digest)))
    size = next((output.size for output in made if output.size is not None), None)
    for output in record.exporters:
        attributes = dict(output.attrs)
        if output.type == "registry" or attributes.get("push") == "true":
            for name in filter(None, attributes.get("name", "").split(",")):
                yield Transfer(name, size)
