"""Looks a graph up in the caches without executing it, to say what a build would do."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from lamina.base.errors import Unsupported
from lamina.base.named_tuple import NamedTuple
from lamina.solver.contract import R
from lamina.solver.node import Node, Phase
from lamina.solver.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.solver.contract import Op, VertexSpec
    from lamina.solver.job import Job
    from lamina.system.threads import WorkerPool


class Planned(Enum):
    """What a build would do with a vertex.

    CACHED: its result is in a cache. DUE: it would run. READ: a source that planning reads itself.
    DEPENDS: that is only known when others have run. UNNEEDED: nothing needs its result.
    """

    CACHED = "cached"
    DUE = "run"
    READ = "read"
    DEPENDS = "depends"
    UNNEEDED = "unneeded"


class PlannedVertex(NamedTuple):
    """`depends` are the digests of the due vertices that a vertex in DEPENDS waits for."""

    digest: str
    planned: Planned
    depends: tuple[str, ...] = ()


class NotRun(Unsupported):
    """The result of a target is not known without running steps."""


class Planner(Scheduler[R]):
    """A scheduler that executes no vertices but those that `reads` allows.

    `solve` raises NotRun if the target's result depends on others. Its jobs share no nodes with
    those of other schedulers.
    """

    def __init__(
        self,
        resolve: Callable[[VertexSpec, Callable[[], Sequence[Job[R]]]], Op[R]],
        pool: WorkerPool,
        reads: Callable[[VertexSpec], bool],
    ) -> None:
        super().__init__(resolve, pool)
        self._reads = reads

    def planned(self, job: Job[R]) -> list[PlannedVertex]:
        """All vertices that the job has solved for, inputs before users."""
        with self._lock:
            nodes = list(job.nodes.values())
            states = {node: self._state(node) for node in nodes}
            found = []
            for node in nodes:
                state = states[node]
                depends = _awaited(node, states) if state is Planned.DEPENDS else ()
                found.append(PlannedVertex(node.spec.digest, state, depends))
            return found

    def _state(self, node: Node[R]) -> Planned:
        if node.cached:
            return Planned.CACHED
        if node.phase is Phase.DONE:
            return Planned.READ
        if node.phase is not Phase.KEYED:
            return Planned.DEPENDS
        if node.wanted:
            return Planned.DUE
        open_users = any(not user.keyed and user.phase is not Phase.FAILED for user in node.users)
        return Planned.DEPENDS if open_users else Planned.UNNEEDED

    def _execute_or_follow(self, node: Node[R]) -> None:
        if self._reads(node.spec):
            super()._execute_or_follow(node)

    def _is_idle(self, job: Job[R]) -> bool:
        return not any(node.busy for node in job.nodes.values())

    def _not_settled(self, node: Node[R]) -> NotRun:
        return NotRun(
            f"{node.spec.name} is not in the cache, and planning runs no steps",
            hint="build without --plan",
        )


def _awaited(node: Node[R], states: dict[Node[R], Planned]) -> tuple[str, ...]:
    """The nearest due vertices below a node; of one that is not wanted yet, those that its users
    wait for."""
    found: dict[str, None] = {}
    if node.phase is Phase.KEYED:
        waiting = [user for user in node.users if not user.keyed]
    else:
        waiting = [node]
    seen = {id(other) for other in waiting}
    while waiting:
        current = waiting.pop(0)
        for source, _ in current.inputs:
            if id(source) in seen:
                continue
            seen.add(id(source))
            if states.get(source) is Planned.DUE:
                found[source.spec.digest] = None
            elif not source.keyed:
                waiting.append(source)
    return tuple(found)
