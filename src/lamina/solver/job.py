"""Jobs: one request's claim on the shared graph, and the events that it gets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Generic, TypeAlias

from lamina.base.digest import Digest
from lamina.base.errors import CONTEXT_CANCELLED
from lamina.solver.contract import R

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lamina.base.errors import LaminaError
    from lamina.base.events import Event, EventSink, VertexEvent
    from lamina.solver.contract import ResultStore, VertexSpec
    from lamina.solver.lookup import CacheLookup
    from lamina.solver.node import Node
    from lamina.system.cancel import Cancellation

Identity: TypeAlias = "tuple[Digest, bool]"
"""Equal in two builds if they share the node: a digest, and whether the cache is ignored."""


class Job(Generic[R]):
    """Holds the nodes that it needs until it is closed. Their events reach its sink.

    `lookups` gets how the nodes were looked up in the caches; None if they are not needed. `store`
    has the results that the job can use. `specs` are the vertices of the job's own definitions; a
    shared node has the spec of the job that created it. `nodes` and `specs` are replaced with the
    scheduler's lock held and never mutated, so they can be read without it. `solving` are the nodes
    of the graphs that calls of `solve` wait for now.
    """

    __slots__ = ("cancel", "claims", "lookups", "nodes", "sink", "solving", "specs", "store")

    def __init__(
        self,
        sink: EventSink,
        cancel: Cancellation,
        store: ResultStore[R],
        lookups: Callable[[CacheLookup], None] | None = None,
    ) -> None:
        self.sink = sink
        self.lookups = lookups
        self.cancel = cancel
        self.store = store
        self.nodes: Mapping[Identity, Node[R]] = {}
        self.specs: Mapping[Identity, VertexSpec] = {}
        self.solving: list[list[Node[R]]] = []
        self.claims: list[Node[R]] = []  # leaders of its nodes, and their inputs

    def spec(self, digest: str) -> VertexSpec | None:
        """The vertex of this digest in the job's own definitions, or None."""
        known = Digest(digest)
        return self.specs.get((known, False)) or self.specs.get((known, True))


class NodeContext(Generic[R]):
    """The `OpContext` of a node: sends events to every job that holds the node."""

    __slots__ = ("_node", "revisions")

    def __init__(self, node: Node[R]) -> None:
        self._node = node
        self.revisions: dict[int, Digest | None] = {}  # see OpContext.revise

    @property
    def cancel(self) -> Cancellation:
        return self._node.cancel

    @property
    def digest(self) -> Digest:
        return self._node.spec.digest

    @property
    def has_users(self) -> bool:
        return bool(self._node.users)

    def revise(self, index: int, content: Digest | None) -> None:
        self.revisions[index] = content

    def emit(self, event: Event) -> None:
        node = self._node
        with node.backlog.lock:
            node.backlog.add(event)
            jobs = [(job, node.aliases.get(job, node)) for job in node.jobs]
            if node.last is not None:
                jobs.append(node.last)
        for job, alias in jobs:
            _emit_to(job, event, node, alias)


def join(job: Job[R], node: Node[R], alias: Node[R] | None) -> None:
    """Add a job to a node. The job gets all events of the node, including earlier ones.

    The events are shown as those of `alias`; None: they are not shown.
    """
    with node.backlog.lock:
        if alias is not node:
            node.aliases[job] = alias
        for event in node.backlog.events():
            _emit_to(job, event, node, alias)
        if alias is node and node.lookup is not None and job.lookups is not None:
            job.lookups(node.lookup)
        node.jobs = (*node.jobs, job)
        node.last = None
    hold_results(job.store, node)  # the build that made the results may end before this job


def hold_results(store: ResultStore[R], node: Node[R]) -> bool:
    """Hold the results of a node for all builds that run now. Whether all of them still exist."""
    return all(store.hold(result) for result in (node.results or {}).values())


def emit_vertex(job: Job[R], spec: VertexSpec, inputs: Iterable[Digest]) -> None:
    """Send the event of a vertex that has not started."""
    from lamina.base.events import VertexEvent

    if not spec.hidden:
        distinct = tuple(dict.fromkeys(inputs))
        job.sink(VertexEvent(spec.digest, spec.name, distinct, group=spec.group))


def running_event(job: Job[R], node: Node[R]) -> VertexEvent | None:
    """The last event of a running node that a job got; None if it does not run or is hidden."""
    with node.backlog.lock:
        event, alias = node.backlog.running, node.aliases.get(job, node)
    if event is None or alias is None:
        return None
    spec = job.specs.get(alias.identity, alias.spec)
    return None if spec.hidden else _as(event, spec, _inputs(alias))


def emit_cancelled(job: Job[R], running: Iterable[VertexEvent]) -> None:
    """Tell a job that its running steps were cancelled."""
    for event in running:
        job.sink(event._replace(completed=time.time(), error=CONTEXT_CANCELLED))


def report_lookup(node: Node[R], lookup: CacheLookup) -> None:
    """Report to the jobs of a node how it was looked up, except to jobs that only follow it."""
    with node.backlog.lock:
        node.lookup = lookup
        jobs = [job for job in node.jobs if node.aliases.get(job, node) is node]
    for job in jobs:
        if job.lookups is not None:
            job.lookups(lookup)


def leave(job: Job[R], node: Node[R]) -> None:
    """Remove a job from a node. If it was the last one it still gets the final events."""
    with node.backlog.lock:
        node.jobs = tuple(other for other in node.jobs if other is not job)
        alias = node.aliases.pop(job, node)
        if not node.jobs:
            node.last = (job, alias)


def announce(node: Node[R], *, completed: bool, error: LaminaError | None = None) -> None:
    """Send the status of a node to its jobs. Called by the thread that runs the node's action."""
    from lamina.base.events import VertexEvent

    if node.spec.hidden:
        return
    now = time.time()
    if node.started is None:
        node.started = now
    NodeContext(node).emit(
        VertexEvent(
            digest=node.spec.digest,
            name=node.spec.name,
            inputs=_inputs(node),
            started=node.started,
            completed=now if completed else None,
            cached=node.cached,
            error="" if error is None else error.reason,
            group=node.spec.group,
        )
    )


def _emit_to(job: Job[R], event: Event, node: Node[R], alias: Node[R] | None) -> None:
    """Send a job an event of `node`, with the digest and name of the job's own vertex."""
    if alias is None:
        return
    spec = job.specs.get(alias.identity, alias.spec)
    if alias is node and spec is node.spec:
        job.sink(event)
    elif alias is node or not spec.hidden:
        job.sink(_renamed(event, spec, _inputs(alias)))


def _inputs(node: Node[R]) -> tuple[Digest, ...]:
    return tuple(dict.fromkeys(source.spec.digest for source, _ in node.inputs))


def _renamed(event: Event, spec: VertexSpec, inputs: tuple[Digest, ...]) -> Event:
    """An event, changed to be one of the vertex `spec`."""
    from lamina.base.events import VertexEvent

    if not isinstance(event, VertexEvent):
        return event._replace(vertex=spec.digest)
    return _as(event, spec, inputs)


def _as(event: VertexEvent, spec: VertexSpec, inputs: tuple[Digest, ...]) -> VertexEvent:
    return event._replace(digest=spec.digest, name=spec.name, inputs=inputs, group=spec.group)
