from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from lamina.engine.maintenance.disk_usage import cache_records, held_states
from lamina.engine.maintenance.prune import PruneRule, prune, size_limit
from lamina.stores.cache_mounts import CacheMountStore
from lamina.stores.snapshots import SnapshotStore
from lamina.stores.store import open_store
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lamina.base.usage import CacheRecord
    from lamina.stores.store import Store
    from tests.commands import Lamina

ALL = PruneRule(lambda record: True, all=True)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "store")) as store:
        yield store


def add_state(store: Store, parent: int | None = None, text: str = "x") -> int:
    snapshots = SnapshotStore(store)
    staged = snapshots.stage()
    with open(os.path.join(staged.files, "file"), "w") as file:
        file.write(text)
    return snapshots.commit(staged, parent, text)


def everything_pruned(store: Store, rule: PruneRule = ALL) -> list[str]:
    removed: list[CacheRecord] = []
    prune(store, [rule], Cancellation(), removed.append)
    return sorted(record.id for record in removed)


@contextmanager
def another(store: Store) -> Iterator[Store]:
    """Open the same store as another process."""
    with open_store(store.root) as other:
        yield other


def test_snapshots_in_use_are_not_pruned(store: Store) -> None:
    with store.shared():
        base, unused = add_state(store), add_state(store)
        top, beside = add_state(store, base), add_state(store, base)
    with another(store) as other, other.shared():
        assert SnapshotStore(other).hold(top)
        in_use = {record.id: not record.reclaimable for record in cache_records(store)}
        assert in_use == {str(base): True, str(unused): False, str(top): True, str(beside): False}
        assert everything_pruned(store) == sorted(map(str, (unused, beside)))
        names = {row[0] for row in store.database.rows("SELECT directory FROM snapshots")}
        assert {n for n in os.listdir(store.path("snapshots")) if n[0] != "."} == names
        assert not SnapshotStore(other).hold(unused)
    assert everything_pruned(store) == sorted(map(str, (base, top)))


def test_unfinished_snapshots_are_not_pruned(store: Store) -> None:
    with another(store) as other, other.shared():
        state = add_state(other)
        assert everything_pruned(store) == []
        assert SnapshotStore(other).get(state)
    assert everything_pruned(store) == [str(state)]


def test_a_process_releases_its_leases_when_no_build_runs(store: Store) -> None:
    with store.shared():
        with store.shared():
            state = add_state(store)
        assert held_states(store) == {state}
    assert held_states(store) == set()


def test_snapshots_of_finished_builds_are_released(store: Store) -> None:
    snapshots = SnapshotStore(store)

    def overlapping(first: ExitStack, second: ExitStack) -> tuple[int, int, int]:
        """Snapshots of the first of two builds, one of which the second also holds, and one of the
        second. The first build has ended."""
        first.enter_context(store.shared())
        early, passed_on = add_state(store), add_state(store)
        second.enter_context(store.shared())
        late = add_state(store)
        assert snapshots.hold(passed_on)
        first.close()
        return early, passed_on, late

    with ExitStack() as first, ExitStack() as second, store.shared():
        early, passed_on, late = overlapping(first, second)
        assert held_states(store) == {early, passed_on, late}  # an earlier build is still running
    with ExitStack() as first, ExitStack() as second:
        early, passed_on, late = overlapping(first, second)
        assert held_states(store) == {passed_on, late}
        assert str(early) in everything_pruned(store)
        assert not snapshots.hold(early)
        with store.shared():
            second.close()
            assert held_states(store) == set()
            assert snapshots.hold(late)
            assert str(late) not in everything_pruned(store)


def test_leases_of_dead_processes_are_ignored(store: Store) -> None:
    with store.shared():
        state = add_state(store)
    with store.database.write() as connection:
        connection.execute("INSERT INTO leases (process, snapshot) VALUES ('1-dead', ?)", (state,))
    assert everything_pruned(store) == [str(state)]
    assert store.database.rows("SELECT * FROM leases") == []


def test_a_rolled_back_transaction_leases_nothing(store: Store) -> None:
    with store.shared():
        state = add_state(store)
    with another(store) as other, other.shared():
        with pytest.raises(ZeroDivisionError), other.database.write():
            assert SnapshotStore(other).hold(state)
            raise ZeroDivisionError
        assert everything_pruned(store) == [str(state)]
        assert not SnapshotStore(other).hold(state)


def test_blobs_go_only_when_no_build_runs(store: Store) -> None:
    digest = store.blobs.put(b"nobody refers to it")
    with another(store) as other, other.shared():
        everything_pruned(store)
        assert store.blobs.has(digest)
    assert prune(store, [ALL], Cancellation(), lambda record: None) == 19
    assert not store.blobs.has(digest)


def test_a_cache_mount_in_use_stays(store: Store) -> None:
    mounts = CacheMountStore(store)
    with mounts.shared("one", lambda path: None) as used:
        with mounts.shared("two", lambda path: None) as free:
            pass
        assert everything_pruned(store) == [os.path.basename(free)]
        assert os.path.isdir(used)
    assert everything_pruned(store) == [os.path.basename(used)]
    assert mounts.names() == []


def test_the_oldest_go_first_until_few_enough_are_left(store: Store) -> None:
    with store.shared():
        states = [add_state(store, text="x" * 20_000) for _ in range(5)]
    for age, state in enumerate(states):
        with store.database.write() as connection:
            connection.execute("UPDATE snapshots SET used = ? WHERE id = ?", (1000.0 - age, state))
    size = cache_records(store)[0].size
    keep_two = PruneRule(lambda record: True, max_used=2 * size)
    assert everything_pruned(store, keep_two) == sorted(map(str, states[2:]))
    assert everything_pruned(store, keep_two) == []


def test_limits(store: Store) -> None:
    def limit(reserved: int = 0, max_used: int = 0, min_free: int = 0) -> int | None:
        rule = PruneRule(
            lambda record: True, reserved=reserved, max_used=max_used, min_free=min_free
        )
        return size_limit(store, rule, 100)

    assert limit() is None
    assert limit(reserved=7) == 7
    assert limit(max_used=50) == 50
    assert limit(max_used=50, reserved=60) == 60
    assert limit(min_free=1) == 100
    assert limit(min_free=1, max_used=50) == 50
    assert limit(min_free=1 << 60) == 0
    assert limit(min_free=1 << 60, max_used=50) == 0
    assert limit(min_free=1 << 60, reserved=9) == 9


def test_leased_snapshots_survive_concurrent_pruning(tmp_path: Path) -> None:
    """Builds look up snapshots while another process prunes: none of them disappears."""
    random.seed(1)
    root = str(tmp_path / "store")
    lost: list[int] = []
    with open_store(root) as store:
        with store.shared():
            states = [add_state(store) for _ in range(120)]
        over = threading.Event()

        def build() -> None:
            while not over.is_set():
                with open_store(root) as mine, mine.shared():
                    snapshots = SnapshotStore(mine)
                    found = [s for s in random.sample(states, 5) if snapshots.hold(s)]
                    time.sleep(random.random() / 100)
                    for state in found:
                        path = snapshots.files(snapshots.get(state))
                        if not os.path.exists(os.path.join(path, "file")):
                            lost.append(state)

        threads = [threading.Thread(target=build) for _ in range(3)]
        for thread in threads:
            thread.start()
        left = 120
        for allowed in range(110, 0, -10):
            size = max(record.size for record in cache_records(store))
            everything_pruned(store, PruneRule(lambda record: True, max_used=size * allowed))
        over.set()
        for thread in threads:
            thread.join()
        left = len(cache_records(store))
    assert lost == []
    assert left < 30


def test_pruning_while_a_build_runs(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context(
        "FROM base AS old\nRUN echo old > /old\n"
        "FROM base\nRUN echo 1 > /a\nRUN echo 2 > /b; sleep 3\nCOPY --from=base /bin/sh /c\n"
    )
    lamina.build(folder, "--target=old")
    command = [sys.executable, "-m", "lamina", "--root", str(lamina.root), "build", str(folder)]
    with subprocess.Popen(
        [*command, "--progress=plain"], stderr=subprocess.PIPE, text=True
    ) as build:
        assert build.stderr is not None
        for line in build.stderr:
            if "sleep 3" in line:
                break
        done = lamina("prune", "-af", "--verbose")
        assert build.poll() is None, "the build was to be under way still"
        assert (done.code, done.err) == (0, "")
        assert "echo old" in done.out
        assert "echo 1" not in done.out
        build.stderr.read()
    assert build.returncode == 0
    assert "#" in (log := lamina.build(folder))
    assert "CACHED" in log
    lamina.build(folder, "--target=old")


def test_pruning_removes_only_images_without_a_name(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("COPY file /\n", {"file": "1"})
    lamina.build(folder, "-t", "local/app:1")
    old = digests(lamina)
    (folder / "file").write_text("2")
    lamina.build(folder, "-t", "local/app:1")  # replaces the name of the previous one
    (folder / "file").write_text("3")
    lamina.build(folder)
    names = lamina("images").out
    assert "local/app" in names
    assert "<none>" in names
    listed = lamina("du", "--verbose").out
    assert listed.count("image without a name") == 1
    assert lamina("history", "rm", "--all").code == 0  # records keep the documents of images
    done = lamina("prune", "-f", "--filter", "type=image", "--verbose")
    assert "image without a name" in done.out
    assert "<none>" not in lamina("images").out
    assert len(digests(lamina)) == 1
    assert not digests(lamina) & old
    assert lamina("prune", "-af").code == 0
    assert "local/app" in lamina("images").out
    target = folder.parent / "out.tar"
    request = folder.parent / "from"
    request.mkdir()
    (request / "Dockerfile").write_text("FROM local/app:1\nCOPY --from=local/app:1 /file /again\n")
    assert lamina.build(request, "-o", f"type=tar,dest={target}")
    assert target.stat().st_size
    assert lamina("rmi", "local/app:1").code == 0
    assert lamina("history", "rm", "--all").code == 0
    assert lamina("prune", "-af").code == 0
    assert not digests(lamina)
    assert not any(name for _, _, names in os.walk(lamina.root / "blobs") for name in names)


def digests(lamina: Lamina) -> set[str]:
    """The images' configurations and manifests among the blobs: all JSON documents of an image."""
    found = set()
    folder = lamina.root / "blobs/sha256"
    for blob in folder.iterdir():
        with blob.open("rb") as file:
            if b'"architecture"' in file.read(4096):
                found.add(blob.name)
    return found


def test_the_database_does_not_grow_with_what_is_built_and_pruned(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    from lamina.stores.database import Database

    folder = context("COPY file /\nRUN cat /file > /other\nFROM base\nCOPY --from=0 /other /\n")
    sizes = []
    for number in range(4):
        (folder / "file").write_text(str(number))
        lamina.build(folder)
        assert lamina("prune", "-af").code == 0
        database = Database(str(lamina.root / "meta.db"))
        tables = ("cache_keys", "aliases", "results", "snapshots", "layers", "images", "leases")
        sizes.append([database.row(f"SELECT COUNT(*) FROM {table}") for table in tables])
        database.close()
    assert sizes[1:] == sizes[:-1]
    assert set(sizes[-1]) == {(0,)}


def test_pruning_keeps_the_hits_that_remain(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("COPY file /\nRUN cat /file > /other\n", {"file": "1"})
    lamina.build(folder)
    (folder / "file").write_text("2")
    lamina.build(folder)
    assert lamina("prune", "-f", "--filter", "type=none").code == 0  # sweeps alone
    for content in ("1", "2"):
        (folder / "file").write_text(content)
        log = lamina.build(folder)
        assert log.count("CACHED") >= 3, log


def test_files_of_failed_downloads_are_removed(store: Store) -> None:
    folder = store.path("http")
    os.mkdir(folder)
    known, unknown = "a" * 32, "b" * 32
    left = [f"{unknown}.part", f"{unknown}.lock", f"{unknown}-{'c' * 32}", f"{known}.new"]
    kept = [known, f"{known}.lock", f"{known}-{'d' * 32}"]
    for name in (*left, *kept):
        with open(os.path.join(folder, name), "w") as file:
            file.write("x")
    with store.shared():
        everything_pruned(store, PruneRule(lambda record: False))
        assert sorted(os.listdir(folder)) == sorted([*left, *kept])
    everything_pruned(store, PruneRule(lambda record: False))
    assert sorted(os.listdir(folder)) == sorted(kept)
    everything_pruned(store)
    assert os.listdir(folder) == []
