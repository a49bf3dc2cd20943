"""Calls of `solve` that are cancelled while the job goes on."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from lamina.base.digest import digest_of
from lamina.base.errors import Cancelled, LaminaError
from lamina.base.events import VertexEvent
from lamina.solver.contract import CacheMap, Dependency, Graph, OpContext, VertexSpec
from lamina.solver.scheduler import Scheduler
from lamina.system.cancel import Cancellation
from lamina.system.threads import WorkerPool
from tests.solver.event_log import EventLog
from tests.solver.test_shared_nodes import Store, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lamina.solver.job import Job


class Step:
    """Runs until the gate of its name is opened, or until it is cancelled."""

    def __init__(self, bench: Bench, spec: VertexSpec) -> None:
        self._bench = bench
        self._spec = spec

    def cache_map(self, context: OpContext) -> CacheMap:
        return CacheMap(digest_of(self._spec.data), tuple(Dependency() for _ in self._spec.inputs))

    def execute(self, context: OpContext, inputs: Sequence[Value]) -> Sequence[Value]:
        gate = self._bench.gates[self._spec.name]
        with self._bench.changed:
            self._bench.begun.append(self._spec.name)
            self._bench.changed.notify_all()
        with context.cancel.calling(gate.set):
            assert gate.wait(20)
        if context.cancel.cancelled:
            gate.clear()
        with self._bench.changed:
            self._bench.ended.append(self._spec.name)
        context.cancel.check()
        return (Value(),)


class Bench:
    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.gates = {name: threading.Event() for name in "abc"}
        self._pool = WorkerPool(8)
        self.scheduler: Scheduler[Value] = Scheduler(self._resolve, self._pool)
        self.log = EventLog()
        self.cancel = Cancellation()
        self.job = self.open_job(self.log)

    def _resolve(self, spec: VertexSpec, _: Callable[[], Sequence[Job[Value]]]) -> Step:
        return Step(self, spec)

    def open_job(self, log: EventLog) -> Job[Value]:
        return self.scheduler.open_job(log, self.cancel, Store())

    def wait_for(self, *begun: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.begun == list(begun), 20), self.begun

    def close(self) -> None:
        for gate in self.gates.values():
            gate.set()
        self.cancel.cancel()
        self.scheduler.close_job(self.job)
        self._pool.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


class Call:
    """A call of `solve` in a thread. The vertices are a chain."""

    def __init__(self, bench: Bench, names: str, job: Job[Value] | None = None) -> None:
        self.cancel = Cancellation()
        self.error: LaminaError | None = None
        vertices = tuple(
            VertexSpec(
                digest_of(name.encode()), name, ((index - 1, 0),) if index else (), name.encode()
            )
            for index, name in enumerate(names)
        )
        graph = Graph(vertices, (len(vertices) - 1, 0))
        arguments = (bench, job or bench.job, graph)
        self._thread = threading.Thread(target=self._run, args=arguments)
        self._thread.start()

    def _run(self, bench: Bench, job: Job[Value], graph: Graph) -> None:
        try:
            bench.scheduler.solve(job, graph, self.cancel)
        except LaminaError as error:
            self.error = error

    def end(self) -> LaminaError | None:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.error


def wait_until_solving(job: Job[Value], calls: int) -> None:
    deadline = time.monotonic() + 20
    while len(job.solving) != calls:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_only_the_call_needs_ends_with_it(bench: Bench) -> None:
    call = Call(bench, "ab")
    bench.wait_for("a")
    call.cancel.cancel("hung up")
    assert isinstance(call.end(), Cancelled)
    assert bench.ended == ["a"]  # it is awaited
    last = [event for event in bench.log.events if isinstance(event, VertexEvent)][-1]
    assert (last.name, last.error) == ("a", "context canceled")
    again = Call(bench, "ab")
    bench.gates["a"].set()
    bench.gates["b"].set()
    assert again.end() is None
    assert bench.begun == ["a", "a", "b"]


def test_what_another_call_needs_goes_on(bench: Bench) -> None:
    first = Call(bench, "ab")
    bench.wait_for("a")
    second = Call(bench, "ac")
    wait_until_solving(bench.job, 2)
    first.cancel.cancel()
    assert isinstance(first.end(), Cancelled)
    assert bench.ended == []
    for gate in bench.gates.values():
        gate.set()
    assert second.end() is None
    assert bench.begun == ["a", "c"]


def test_what_another_job_needs_goes_on(bench: Bench) -> None:
    first = Call(bench, "a")
    bench.wait_for("a")
    job = bench.open_job(EventLog())
    second = Call(bench, "a", job)
    wait_until_solving(job, 1)
    first.cancel.cancel()
    assert isinstance(first.end(), Cancelled)
    bench.gates["a"].set()
    assert second.end() is None
    assert bench.begun == ["a"]
    bench.scheduler.close_job(job)


def test_what_is_made_stays(bench: Bench) -> None:
    bench.gates["a"].set()
    call = Call(bench, "ab")
    bench.wait_for("a", "b")
    call.cancel.cancel()
    assert isinstance(call.end(), Cancelled)
    bench.gates["b"].set()
    assert Call(bench, "ab").end() is None
    assert bench.begun == ["a", "b", "b"]


def test_a_call_that_is_cancelled_before_it_begins(bench: Bench) -> None:
    cancel = Cancellation()
    cancel.cancel()
    graph = Graph((VertexSpec(digest_of(b"a"), "a", (), b"a"),), (0, 0))
    with pytest.raises(Cancelled):
        bench.scheduler.solve(bench.job, graph, cancel)
    assert bench.begun == []
