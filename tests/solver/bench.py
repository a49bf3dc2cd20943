"""A scheduler whose steps a test writes, and calls of `solve` in threads."""

from __future__ import annotations

import threading
from abc import abstractmethod
from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.base.errors import LaminaError
from lamina.solver.contract import CacheMap, Dependency, Graph, OpContext, VertexSpec
from lamina.solver.scheduler import Scheduler
from lamina.system.threads import WorkerPool
from tests.solver.memory_results import MemoryResults

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.solver.contract import Op
    from lamina.solver.job import Job
    from lamina.solver.key import CacheKey
    from lamina.system.cancel import Cancellation


class Value:
    """A result."""

    def __init__(self, text: str = "") -> None:
        self.text = text


class Store(MemoryResults[Value]):
    """Has every output once `cached` is set, and keeps none; `looked_up` is called at each
    lookup."""

    def __init__(self) -> None:
        super().__init__()
        self.cached = False
        self.looked_up: Callable[[int], None] = lambda output: None

    def load(self, key: CacheKey, output: int) -> Value | None:
        return Value() if self.cached else None

    def has(self, key: CacheKey, output: int) -> bool:
        self.looked_up(output)
        return self.cached

    def has_seen(self, key: CacheKey, output: int) -> bool:
        return self.has(key, output)

    def save(self, keys: Sequence[CacheKey], results: Sequence[Value]) -> None:
        return


class Step:
    """A step whose cache key is the data of its vertex, and which `execute` runs."""

    def __init__(
        self, spec: VertexSpec, execute: Callable[[VertexSpec, OpContext], Sequence[Value]]
    ) -> None:
        self._spec = spec
        self._execute = execute

    def cache_map(self, context: OpContext) -> CacheMap:
        return CacheMap(digest_of(self._spec.data), tuple(Dependency() for _ in self._spec.inputs))

    def execute(self, context: OpContext, inputs: Sequence[Value]) -> Sequence[Value]:
        return self._execute(self._spec, context)


class SolverBench:
    """A scheduler on a pool of threads. Subclasses say what their steps do."""

    def __init__(self) -> None:
        self._pool = WorkerPool(8)
        self.scheduler: Scheduler[Value] = Scheduler(self._resolve, self._pool)

    def _resolve(self, spec: VertexSpec, _: Callable[[], Sequence[Job[Value]]]) -> Op[Value]:
        return Step(spec, self.execute)

    @abstractmethod
    def execute(self, spec: VertexSpec, context: OpContext) -> Sequence[Value]:
        """Run the step of a vertex."""

    def close(self) -> None:
        self._pool.close()


class Solving:
    """A call of `solve` in a thread. `result` and `error` are set when it has ended."""

    def __init__(
        self,
        scheduler: Scheduler[Value],
        job: Job[Value],
        graph: Graph,
        cancel: Cancellation | None = None,
    ) -> None:
        self.job = job
        self.result: Value | None = None
        self.error: LaminaError | None = None
        arguments = (scheduler, graph, cancel)
        self._thread = threading.Thread(target=self._run, args=arguments)
        self._thread.start()

    def _run(self, scheduler: Scheduler[Value], graph: Graph, cancel: Cancellation | None) -> None:
        try:
            self.result = scheduler.solve(self.job, graph, cancel)
        except LaminaError as error:
            self.error = error

    def end(self) -> LaminaError | None:
        """Wait for the end. Returns the error."""
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.error
