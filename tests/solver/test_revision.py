"""Ops that read other content than that of their cache key."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

import pytest

from lamina.base.digest import Digest, digest_of
from lamina.solver.contract import CacheMap, Dependency, Graph, OpContext, VertexSpec
from lamina.solver.key import content_input, make_key
from lamina.solver.scheduler import Scheduler
from lamina.system.cancel import Cancellation
from lamina.system.threads import WorkerPool
from tests.solver.memory_results import MemoryResults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lamina.solver.chain import ChainRecord
    from lamina.solver.job import Job
    from lamina.solver.key import CacheKey


class Value(NamedTuple):
    text: str


class Memory(MemoryResults[Value]):
    """Results and structures by key."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: dict[Digest, set[CacheKey]] = {}

    def note_key(self, key: CacheKey) -> None:
        self.noted.setdefault(key.id, set()).add(key)

    def structures(self, key_id: Digest) -> set[CacheKey]:
        return self.noted.get(key_id, set())


class Folder:
    """A source whose content changes: it has no cache key."""

    def cache_map(self, context: OpContext) -> CacheMap:
        return CacheMap(digest_of(b"folder"), ephemeral=True)

    def execute(self, context: OpContext, inputs: Sequence[Value]) -> Sequence[Value]:
        return (Value("folder"),)


class Copy:
    """Copies the content of the bench's directory, which is its key."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def cache_map(self, context: OpContext) -> CacheMap:
        return CacheMap(COPY, (Dependency("", lambda _: digest_of(self._bench.folder.encode())),))

    def execute(self, context: OpContext, inputs: Sequence[Value]) -> Sequence[Value]:
        bench = self._bench
        bench.copying.release()
        bench.gate.wait(20)
        read, known = bench.read.pop(0)
        context.revise(0, digest_of(read.encode()) if known else None)
        return (Value(read),)


class Command:
    """Works on the copy, with a key from the copy's key."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def cache_map(self, context: OpContext) -> CacheMap:
        return CacheMap(RUN, (Dependency(),))

    def execute(self, context: OpContext, inputs: Sequence[Value]) -> Sequence[Value]:
        self._bench.runs += 1
        return (Value(f"made of {inputs[0].text}"),)


COPY, RUN = digest_of(b"copy"), digest_of(b"run")


def keys_of(content: str) -> tuple[CacheKey, CacheKey]:
    """The keys of the copy and of the command for a content."""
    copy = make_key(COPY, [content_input(make_key(digest_of(content.encode())))])
    return copy, make_key(RUN, [content_input(copy)._replace(output=0)])


class Bench:
    """`read` are the contents that the copies find in the directory, and whether their digests are
    known."""

    def __init__(self) -> None:
        self.folder = "old"
        self.read: list[tuple[str, bool]] = []
        self.runs = 0
        self.gate = threading.Event()
        self.gate.set()
        self.copying = threading.Semaphore(0)
        self.memory = Memory()
        self._pool = WorkerPool(4)
        self.scheduler: Scheduler[Value] = Scheduler(self._resolve, self._pool)

    def _resolve(
        self, spec: VertexSpec, _: Callable[[], Sequence[Job[Value]]]
    ) -> Folder | Copy | Command:
        match spec.data:
            case b"folder":
                return Folder()
            case b"copy":
                return Copy(self)
        return Command(self)

    def build(self, name: str) -> tuple[str, list[ChainRecord]]:
        """The result of a separate build, and the chain that it exports."""
        specs = []
        for index, kind in enumerate(("folder", "copy", "run")):
            inputs = ((index - 1, 0),) if index else ()
            digest = digest_of(f"{name} {kind}".encode())
            specs.append(VertexSpec(digest, kind, inputs, kind.encode()))
        graph = Graph(tuple(specs), (2, 0))
        job = self.scheduler.open_job(lambda _: None, Cancellation(), self.memory)
        try:
            made = self.scheduler.solve(job, graph)
            return made.text, self.scheduler.chain(job, [graph], self.memory)
        finally:
            self.scheduler.close_job(job)

    def close(self) -> None:
        self.gate.set()
        self._pool.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_results_are_stored_under_the_keys_of_the_content_read(bench: Bench) -> None:
    bench.read = [("new", True)]
    made, chain = bench.build("first")
    assert made == "made of new"
    copy, run = keys_of("new")
    assert bench.memory.kept == {copy.id: (Value("new"),), run.id: (Value("made of new"),)}
    # Likewise the exported chain: it contains nothing of the old content.
    assert {record.key for record in chain if record.key is not None} == {copy, run}


def test_users_with_outdated_keys_are_looked_up_again(bench: Bench) -> None:
    _, run = keys_of("new")
    bench.memory.kept[run.id] = (Value("known"),)
    bench.read = [("new", True)]
    made, _ = bench.build("first")
    assert made == "known"
    assert bench.runs == 0


def test_a_result_of_unknown_content_is_not_stored(bench: Bench) -> None:
    bench.read = [("torn", False)]
    made, chain = bench.build("first")
    assert made == "made of torn"
    assert bench.memory.kept == {}
    assert not [record for record in chain if record.key is not None]


def test_a_revision_to_equal_content_changes_nothing(bench: Bench) -> None:
    bench.read = [("old", True)]
    assert bench.build("first")[0] == "made of old"
    assert {key.id for key in keys_of("old")} == set(bench.memory.kept)


def test_a_follower_does_not_use_the_result_of_a_revised_leader(bench: Bench) -> None:
    bench.gate.clear()
    bench.read = [("new", True), ("old", True)]
    made: dict[str, str] = {}
    threads = [
        threading.Thread(target=lambda name=name: made.update({name: bench.build(name)[0]}))
        for name in ("first", "second")
    ]
    threads[0].start()
    assert bench.copying.acquire(timeout=20)
    threads[1].start()
    assert not bench.copying.acquire(timeout=0.3)  # the second follows
    bench.gate.set()
    for thread in threads:
        thread.join(20)
    assert made == {"first": "made of new", "second": "made of old"}
