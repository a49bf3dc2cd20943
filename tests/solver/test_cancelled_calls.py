"""Calls of `solve` that are cancelled while the job goes on."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from lamina.base.digest import digest_of
from lamina.base.errors import Cancelled
from lamina.base.events import VertexEvent
from lamina.solver.contract import Graph, OpContext, VertexSpec
from lamina.system.cancel import Cancellation
from tests.solver.bench import SolverBench, Solving, Store, Value
from tests.solver.event_log import EventLog

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.solver.job import Job


class Bench(SolverBench):
    """Steps run until the gate of their name is opened, or until they are cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = threading.Condition()
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.gates = {name: threading.Event() for name in "abc"}
        self.log = EventLog()
        self.cancel = Cancellation()
        self.job = self.open_job(self.log)

    def execute(self, spec: VertexSpec, context: OpContext) -> Sequence[Value]:
        gate = self.gates[spec.name]
        with self.changed:
            self.begun.append(spec.name)
            self.changed.notify_all()
        with context.cancel.calling(gate.set):
            assert gate.wait(20)
        if context.cancel.cancelled:
            gate.clear()
        with self.changed:
            self.ended.append(spec.name)
        context.cancel.check()
        return (Value(),)

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
        super().close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with closing(Bench()) as bench:
        yield bench


class Call(Solving):
    """A call of `solve` for a chain of vertices."""

    def __init__(self, bench: Bench, names: str, job: Job[Value] | None = None) -> None:
        vertices = tuple(
            VertexSpec(
                digest_of(name.encode()), name, ((index - 1, 0),) if index else (), name.encode()
            )
            for index, name in enumerate(names)
        )
        graph = Graph(vertices, (len(vertices) - 1, 0))
        self.cancel = Cancellation()
        super().__init__(bench.scheduler, job or bench.job, graph, self.cancel)


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
