"""Deduplication: of the nodes with the same key one runs, and the others use its result."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from lamina.base.digest import Digest, digest_of
from lamina.base.errors import Cancelled, InvalidInput, LaminaError, PermissionDenied
from lamina.base.events import LogEvent, VertexEvent
from lamina.solver.contract import Graph, OpContext, VertexSpec
from lamina.system.cancel import Cancellation
from tests.solver.bench import SolverBench, Solving, Value
from tests.solver.event_log import EventLog
from tests.solver.memory_results import MemoryResults

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.solver.key import CacheKey


class Memory(MemoryResults[Value]):
    """Results by key; some are lost before they can be held."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Value] = []
        self.lost: list[bool] = []  # the outcomes of the next calls of hold, last first

    def hold(self, result: Value) -> bool:
        self.held.append(result)
        return not self.lost or not self.lost.pop()

    def add_aliases(self, keys: Sequence[CacheKey]) -> None:
        for key in keys[1:]:
            self.kept[key.id] = self.kept[keys[0].id]


class Bench(SolverBench):
    """Steps wait at a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Digest] = []
        self.running = threading.Semaphore(0)
        self.gate = threading.Event()
        self.failure: LaminaError | None = None
        self.memory = Memory()

    def execute(self, spec: VertexSpec, context: OpContext) -> Sequence[Value]:
        self.runs.append(context.digest)
        context.emit(LogEvent(context.digest, 1, b"begun", 0.0))
        self.running.release()
        with context.cancel.calling(self.gate.set):
            self.gate.wait(20)
        context.cancel.check()
        context.emit(LogEvent(context.digest, 1, b"said", 0.0))
        if self.failure is not None:
            raise self.failure
        return (Value(spec.data.decode()),)

    def close(self) -> None:
        self.gate.set()
        super().close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with closing(Bench()) as bench:
        yield bench


class Building(Solving):
    """A job that solves one vertex. Its cache key is `same`, whatever its name."""

    def __init__(self, bench: Bench, name: str, same: str = "same") -> None:
        self._bench = bench
        self.log = EventLog()
        self.cancel = Cancellation()
        self.digest = digest_of(name.encode())
        spec = VertexSpec(self.digest, name, (), same.encode())
        job = bench.scheduler.open_job(self.log, self.cancel, bench.memory)
        super().__init__(bench.scheduler, job, Graph((spec,), (0, 0)))

    def close(self) -> None:
        self.end()
        self._bench.scheduler.close_job(self.job)

    def hears(self) -> bool:
        """Whether it gets the event that its vertex runs."""
        told = [event for event in self.log.events if isinstance(event, VertexEvent)]
        return any(event.started is not None and event.completed is None for event in told)


def both(bench: Bench) -> tuple[Building, Building]:
    """Two builds with the same step, of which the first runs it."""
    first = Building(bench, "first")
    assert bench.running.acquire(timeout=20)
    second = Building(bench, "second")
    second.log.wait_for(second.hears)
    return first, second


def test_one_node_runs_and_both_jobs_get_its_events(bench: Bench) -> None:
    first, second = both(bench)
    bench.gate.set()
    first.end()
    second.end()
    assert bench.runs == [first.digest]
    assert first.result is second.result
    for build in (first, second):
        digests = {e.digest if isinstance(e, VertexEvent) else e.vertex for e in build.log.events}
        assert digests == {build.digest}
        assert any(isinstance(event, LogEvent) for event in build.log.events)
        last = [event for event in build.log.events if isinstance(event, VertexEvent)][-1]
        assert last.completed is not None
        assert not last.error
    first.close()
    second.close()


@pytest.mark.parametrize(
    "name", ["first", "second"], ids=["the same vertex", "another vertex with the same key"]
)
def test_a_late_job_gets_all_earlier_events(bench: Bench, name: str) -> None:
    first = Building(bench, "first")
    assert bench.running.acquire(timeout=20)
    late = Building(bench, name)
    late.log.wait_for(late.hears)
    bench.gate.set()
    first.end()
    late.end()
    assert bench.runs == [first.digest]
    for build in (first, late):
        said = [event.data for event in build.log.events if isinstance(event, LogEvent)]
        assert said == [b"begun", b"said"]
        logs = [number for number, e in enumerate(build.log.events) if isinstance(e, LogEvent)]
        assert any(isinstance(event, VertexEvent) for event in build.log.events[: logs[0]])
    first.close()
    late.close()


def test_cancelling_the_job_of_the_leader_keeps_the_step_running(bench: Bench) -> None:
    first, second = both(bench)
    first.cancel.cancel()
    first.close()
    assert isinstance(first.error, Cancelled)
    bench.gate.set()
    second.end()
    assert second.result is not None
    assert bench.runs == [first.digest]
    heard = len(first.log.events)
    second.close()
    assert len(first.log.events) == heard


def test_cancelling_the_job_of_a_follower(bench: Bench) -> None:
    first, second = both(bench)
    second.cancel.cancel()
    second.close()
    bench.gate.set()
    first.end()
    assert first.result is not None
    first.close()


def test_cancelling_both_jobs_cancels_the_step(bench: Bench) -> None:
    first, second = both(bench)
    first.cancel.cancel()
    first.close()
    second.cancel.cancel()
    second.close()
    assert bench.gate.is_set()  # by the step's own cancellation
    assert not bench.memory.kept


def test_a_failure_fails_both_jobs(bench: Bench) -> None:
    bench.failure = InvalidInput("no")
    first, second = both(bench)
    bench.gate.set()
    first.close()
    second.close()
    for build in (first, second):
        assert isinstance(build.error, InvalidInput)
        assert build.error.step is not None
        assert build.error.step.digest == build.digest
    assert [event.error for event in second.log.events if isinstance(event, VertexEvent)][
        -1
    ] == "no"


def test_a_follower_runs_after_its_leader_was_refused(bench: Bench) -> None:
    """The leader may lack the credentials that the builds of the follower have."""
    bench.failure = PermissionDenied("no access")
    first, second = both(bench)
    bench.gate.set()
    first.close()
    second.close()
    assert bench.runs == [first.digest, second.digest]
    for build in (first, second):
        assert isinstance(build.error, PermissionDenied)
        assert build.error.step is not None
        assert build.error.step.digest == build.digest


def test_nodes_with_other_keys_do_not_wait(bench: Bench) -> None:
    first = Building(bench, "first")
    assert bench.running.acquire(timeout=20)
    other = Building(bench, "other", "different")
    assert bench.running.acquire(timeout=20)
    bench.gate.set()
    first.close()
    other.close()
    assert len(bench.runs) == 2


def test_a_result_that_was_stored_meanwhile_is_used(bench: Bench) -> None:
    """A key that missed is looked up again before its step runs."""
    bench.gate.set()
    first = Building(bench, "first")
    first.end()
    second = Building(bench, "second")
    second.end()
    assert bench.runs == [first.digest]
    assert any(isinstance(e, VertexEvent) and e.cached for e in second.log.events)
    first.close()
    second.close()


def test_a_shared_result_is_held_again(bench: Bench) -> None:
    first = Building(bench, "vertex")
    bench.gate.set()
    first.end()
    assert bench.memory.held == [first.result]
    second = Building(bench, "vertex")
    second.end()
    assert second.result is first.result
    assert bench.memory.held == [first.result] * 2
    first.close()
    second.close()


def test_a_result_pruned_before_it_was_held_is_made_again(bench: Bench) -> None:
    bench.memory.lost = [False, True]
    bench.memory.kept = Forgetful()
    bench.gate.set()
    build = Building(bench, "vertex")
    build.end()
    assert build.result is not None
    assert bench.runs == [build.digest] * 2
    build.close()


class Forgetful(dict[Digest, tuple[Value, ...]]):
    def __setitem__(self, key: Digest, value: tuple[Value, ...]) -> None:
        return


def test_a_closed_job_gets_cancelled_events_of_its_steps(bench: Bench) -> None:
    first, second = both(bench)
    for build in (second, first):  # the follower, and the leader
        build.cancel.cancel()
        build.close()
        last = [event for event in build.log.events if isinstance(event, VertexEvent)][-1]
        assert last.digest == build.digest
        assert last.completed is not None
        assert last.error == "context canceled"


def test_all_vertices_are_announced_when_a_job_joins_a_graph(bench: Bench) -> None:
    build = Building(bench, "first")
    assert bench.running.acquire(timeout=20)
    event = build.log.events[0]
    assert isinstance(event, VertexEvent)
    assert (event.digest, event.name, event.started) == (build.digest, "first", None)
    bench.gate.set()
    build.close()
