"""Builds that share a vertex share its result, but no errors, names or locations."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from lamina.base.digest import Digest, digest_of
from lamina.base.errors import Corrupt
from lamina.base.events import VertexEvent
from lamina.base.location import Location
from lamina.solver.contract import Graph, OpContext, VertexSpec
from lamina.system.cancel import Cancellation
from tests.solver.bench import SolverBench, Solving, Store, Value
from tests.solver.event_log import EventLog

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Bench(SolverBench):
    """Steps make two outputs, or fail once `fails` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.running = threading.Event()
        self.gate = threading.Event()
        self.fails = False
        self.store = Store()

    def execute(self, spec: VertexSpec, context: OpContext) -> Sequence[Value]:
        self.running.set()
        assert self.gate.wait(20)
        if self.fails:
            raise Corrupt("the layer holds other bytes")
        return (Value(), Value())

    def close(self) -> None:
        self.gate.set()
        super().close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with closing(Bench()) as bench:
        yield bench


class Building(Solving):
    """A client that solves a graph, while the job stays open."""

    def __init__(self, bench: Bench, graph: Graph) -> None:
        self.log = EventLog()
        job = bench.scheduler.open_job(self.log, Cancellation(), bench.store)
        super().__init__(bench.scheduler, job, graph)

    def names(self) -> set[str]:
        return {event.name for event in self.log.events if isinstance(event, VertexEvent)}


def vertex(client: str, identity: str, line: int, *inputs: int, key: str = "") -> VertexSpec:
    """A vertex that `client` wrote in line `line` of its own Dockerfile."""
    return VertexSpec(
        digest_of(identity.encode()),
        f"line {line} of {client}",
        tuple((index, 0) for index in inputs),
        (key or identity).encode(),
        location=Location(f"{client}/Dockerfile", line, line, f"# the secret of {client}"),
    )


def solve_both(bench: Bench, first: Graph, second: Graph) -> list[Building]:
    builds = [Building(bench, first)]
    assert bench.running.wait(20)
    builds.append(Building(bench, second))
    return builds


def check_own_text(build: Building, client: str, line: int, digest: Digest) -> None:
    error = build.end()
    assert error is not None
    assert error.location == Location(
        f"{client}/Dockerfile", line, line, f"# the secret of {client}"
    )
    assert error.step is not None
    assert error.step.digest == digest
    other = "second" if client == "first" else "first"
    assert not any(other in name for name in build.names())


@pytest.mark.parametrize("second_failed_late", [False, True])
def test_a_shared_failure_is_located_in_the_text_of_each_client(
    bench: Bench, second_failed_late: bool
) -> None:
    bench.fails = True
    first = Graph((vertex("first", "base", 1), vertex("first", "a", 4, 0)), (1, 0))
    second = Graph((vertex("second", "base", 3), vertex("second", "b", 9, 0)), (1, 0))
    if second_failed_late:
        bench.gate.set()
    builds = solve_both(bench, first, second)
    bench.gate.set()
    check_own_text(builds[0], "first", 1, digest_of(b"base"))
    check_own_text(builds[1], "second", 3, digest_of(b"base"))


def test_the_failure_of_a_leader_is_located_in_the_text_of_the_follower(
    bench: Bench,
) -> None:
    """Different vertices with the same key: the second follows the first."""
    bench.fails = True
    builds = solve_both(
        bench,
        Graph((vertex("first", "a", 1, key="same"),), (0, 0)),
        Graph((vertex("second", "b", 2, key="same"),), (0, 0)),
    )
    builds[1].log.wait_for(lambda: bool(builds[1].names()))
    bench.gate.set()
    check_own_text(builds[0], "first", 1, digest_of(b"a"))
    check_own_text(builds[1], "second", 2, digest_of(b"b"))


def test_a_shared_vertex_has_the_name_that_each_client_gave_it(bench: Bench) -> None:
    builds = solve_both(
        bench,
        Graph((vertex("first", "base", 1),), (0, 0)),
        Graph((vertex("second", "base", 3),), (0, 0)),
    )
    bench.gate.set()
    assert [build.end() for build in builds] == [None, None]
    assert builds[0].names() == {"line 1 of first"}
    assert builds[1].names() == {"line 3 of second"}


@pytest.mark.parametrize("cached", [True, False])
def test_a_second_output_is_requested_while_the_first_is_looked_up(
    bench: Bench, cached: bool
) -> None:
    looking, go_on = threading.Event(), threading.Event()

    def look(output: int) -> None:
        looking.set()
        assert go_on.wait(20)

    bench.store.cached, bench.store.looked_up = cached, look
    bench.gate.set()
    spec = vertex("first", "two outputs", 1)
    first = Building(bench, Graph((spec,), (0, 0)))
    assert looking.wait(20)
    second = Building(bench, Graph((spec,), (0, 1)))
    while len(next(iter(first.job.nodes.values())).outputs) < 2:
        threading.Event().wait(0.001)
    go_on.set()
    assert [first.end(), second.end()] == [None, None]
