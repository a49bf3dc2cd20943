"""One request's claim on the shared graph."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Generic, TypeAlias

from lamina.base.digest import Digest
from lamina.base.errors import CONTEXT_CANCELLED
from lamina.solver.contract import R

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamina.base.errors import LaminaError
    from lamina.base.events import Event, EventSink, VertexEvent
    from lamina.solver.contract import ResultStore, VertexSpec
    from lamina.solver.node import Node
    from lamina.system.cancel import Cancellation

Identity: TypeAlias = "tuple[Digest, bool]"
"""What makes a vertex the same in all builds: its digest, and whether it ignores the cache."""


class Job(Generic[R]):
    """Holds the nodes it needs until it is closed; events of those nodes reach its sink.

    `store` is where the job looks for results, beside those of jobs that share a node with it.
    `specs` are its vertices in the words of its own definitions: a node that is shared has those
    of the job that made it. `nodes` and `specs` are replaced with the scheduler's lock held, never
    changed, so they may be read without it.
    """

    __slots__ = ("cancel", "claims", "nodes", "sink", "specs", "store")

    def __init__(self, sink: EventSink, cancel: Cancellation, store: ResultStore[R]) -> None:
        self.sink = sink
        self.cancel = cancel
        self.store = store
        self.nodes: Mapping[Identity, Node[R]] = {}
        self.specs: Mapping[Identity, VertexSpec] = {}
        self.claims: list[Node[R]] = []  # of other jobs, which its own follow

    def spec(self, digest: str) -> VertexSpec | None:
        """The job's own vertex of a digest; None if it has none."""
        known = Digest(digest)
        return self.specs.get((known, False)) or self.specs.get((known, True))


class NodeContext(Generic[R]):
    """The OpContext of one node: events go to every job that holds the node."""

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
            _tell(job, event, node, alias)


def join(job: Job[R], node: Node[R], alias: Node[R] | None) -> None:
    """Let a job have a node, and hear of it as if it were `alias` (None: not at all), from its
    beginning."""
    with node.backlog.lock:
        if alias is not node:
            node.aliases[job] = alias
        for event in node.backlog.events():
            _tell(job, event, node, alias)
        node.jobs = (*node.jobs, job)
        node.last = None
    hold(job.store, node)  # as whoever has made it may be over before this job is


def hold(store: ResultStore[R], node: Node[R]) -> bool:
    """Keep what a node has for all builds that run now; whether all of it is still there."""
    return all(store.hold(result) for result in (node.results or {}).values())


def tell_known(job: Job[R], spec: VertexSpec, inputs: Iterable[Digest]) -> None:
    """Tell a job of a vertex that has not started."""
    from lamina.base.events import VertexEvent

    if not spec.hidden:
        told = VertexEvent(spec.digest, spec.name, tuple(dict.fromkeys(inputs)), group=spec.group)
        job.sink(told)


def running_for(job: Job[R], node: Node[R]) -> VertexEvent | None:
    """What a job has heard last of a node that runs; None if it does not, or is not shown."""
    with node.backlog.lock:
        event, alias = node.backlog.running, node.aliases.get(job, node)
    if event is None or alias is None:
        return None
    spec = job.specs.get(alias.identity, alias.spec)
    return None if spec.hidden else _as(event, spec, _inputs(alias))


def tell_cancelled(job: Job[R], running: Iterable[VertexEvent]) -> None:
    """Tell a job of steps that they have ended without a result, as nobody waits any more."""
    for event in running:
        job.sink(event._replace(completed=time.time(), error=CONTEXT_CANCELLED))


def leave(job: Job[R], node: Node[R]) -> None:
    """The job hears of the node no more, unless it was the last one: it hears how the node ends."""
    with node.backlog.lock:
        node.jobs = tuple(other for other in node.jobs if other is not job)
        alias = node.aliases.pop(job, node)
        if not node.jobs:
            node.last = (job, alias)


def announce(node: Node[R], *, completed: bool, error: LaminaError | None = None) -> None:
    """Tell every job of a node what state it is in now. Called by who runs its action."""
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


def _tell(job: Job[R], event: Event, node: Node[R], alias: Node[R] | None) -> None:
    """Tell a job of an event of `node`, which it knows as `alias`, in its own words."""
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
    """An event of another vertex as one of this one."""
    from lamina.base.events import VertexEvent

    if not isinstance(event, VertexEvent):
        return event._replace(vertex=spec.digest)
    return _as(event, spec, inputs)


def _as(event: VertexEvent, spec: VertexSpec, inputs: tuple[Digest, ...]) -> VertexEvent:
    return event._replace(digest=spec.digest, name=spec.name, inputs=inputs, group=spec.group)
