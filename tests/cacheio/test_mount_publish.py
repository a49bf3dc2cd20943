"""Concurrent exports of one cache mount: none of their files are lost."""

from __future__ import annotations

import multiprocessing
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lamina.base.digest import digest_of
from lamina.base.reference import parse_reference
from lamina.cacheio import mount_publish
from lamina.cacheio.backend import FolderBackend, RegistryBackend
from lamina.cacheio.mount_export import export_mount
from lamina.cacheio.mount_import import restore_mount
from lamina.cacheio.mount_index import MountEntry, MountIndex, part_of
from lamina.cacheio.mount_publish import Publication, load_mount
from lamina.cacheio.options import FolderLocation
from lamina.registry.client import RegistryClient
from lamina.registry.credentials import Anonymous
from lamina.stores.store import open_store
from lamina.system.cancel import Cancellation
from tests.real_registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from lamina.cacheio.backend import Backend
    from lamina.registry.upload import Transferred

CANCEL = Cancellation()


class Quiet:
    """Shows nothing."""

    def status(self, text: str, current: int = 0, total: int = 0) -> None: ...

    @contextmanager
    def doing(self, text: str) -> Iterator[None]:
        yield

    def warn(self, text: str) -> None: ...

    def meter(self, verb: str) -> Transferred:
        return lambda descriptor, sent: None


@contextmanager
def open_backend(place: str) -> Iterator[Backend]:
    if place.startswith("/"):
        yield FolderBackend(FolderLocation(place))
        return
    with RegistryClient(credentials=Anonymous()) as client:
        yield RegistryBackend(client, parse_reference(place))


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(params=["registry", "folder"])
def place(request: pytest.FixtureRequest, host: str, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "cache")
    return f"{host}/{digest_of(request.node.name.encode()).hex[:12]}:cache"


@pytest.fixture
def backend(place: str) -> Iterator[Backend]:
    with open_backend(place) as opened:
        yield opened


def write(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(f"what {name} made\n")
    return folder


def export(
    folder: Path, store: Path, backend: Backend, common: Iterable[str] = ()
) -> tuple[str, ...]:
    with open_store(str(store)) as opened:
        sent = export_mount(
            str(folder), "objects", frozenset(common), backend, opened.blobs, Quiet(), CANCEL
        )
    return sent.paths


def names_at(backend: Backend) -> set[str]:
    found = load_mount(backend, "objects", CANCEL)
    return {entry.path for entry in found.mount.entries} - {""} if found else set()


def _process(place: str, folder: Path, store: Path, start: float) -> None:
    import time

    time.sleep(max(0.0, start - time.time()))
    with open_backend(place) as backend:
        export(folder, store, backend)


def test_many_processes_at_the_same_instant(place: str, backend: Backend, tmp_path: Path) -> None:
    import time

    names = [f"p{number}" for number in range(10)]
    start = time.time() + 2
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(
            target=_process, args=(place, write(tmp_path / n, n), tmp_path / f"store-{n}", start)
        )
        for n in names
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert names_at(backend) == set(names)
    found = load_mount(backend, "objects", CANCEL)
    assert found is not None
    restored = tmp_path / "restored"
    restored.mkdir()
    restore_mount(found.mount, str(restored), backend, Quiet(), CANCEL)
    assert {path.name: path.read_text() for path in restored.iterdir()} == {
        name: f"what {name} made\n" for name in names
    }


class Stalling:
    """A backend whose user stops before its n-th call until others are done."""

    def __init__(self, backend: Backend, before: int, others: Callable[[], None]) -> None:
        self._backend = backend
        self._left = before
        self._others = others
        self._lock = threading.Lock()
        self.stalled = False

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._backend, name)
        if name not in ("manifest", "stage", "name"):
            return found

        def call(*args: Any) -> Any:
            with self._lock:
                due = self._left == 0
                self._left -= 1
            if due:
                self.stalled = True
                self._others()
            return found(*args)

        return call


@pytest.mark.parametrize("before", range(20))
@pytest.mark.parametrize("numbers", [(0, 0), (0, 1)])
def test_a_writer_that_is_stalled_for_as_long_as_you_like(
    before: int, numbers: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One writer stops at any point, while the other one completes, whichever claims they use."""
    monkeypatch.setattr(mount_publish, "_PAUSE", 0.001)
    backend = FolderBackend(FolderLocation(str(tmp_path / "cache")))
    base = export(write(tmp_path / "base", "old", "doomed"), tmp_path / "s0", backend)
    turn = threading.local()
    monkeypatch.setattr(mount_publish, "claim_number", lambda: numbers[getattr(turn, "other", 0)])

    def other() -> None:
        thread = threading.Thread(target=export_other)
        thread.start()
        thread.join()

    def export_other() -> None:
        turn.other = 1
        export(write(tmp_path / "two", "old", "second"), tmp_path / "s2", backend, base)

    stalled = Stalling(backend, before, other)
    export(write(tmp_path / "one", "old", "first"), tmp_path / "s1", stalled, base)
    if not stalled.stalled:
        pytest.skip("it made fewer calls")
    assert names_at(backend) == {"old", "first", "second"}


def test_removed_mounts_stay_removed(backend: Backend, tmp_path: Path) -> None:
    common: tuple[str, ...] = ()
    for names in (("a", "b"), ("b", "c"), ("c",), ("c", "d"), ("d",)):
        for path in tmp_path.glob("mount/*"):
            path.unlink()
        common = export(write(tmp_path / "mount", *names), tmp_path / "store", backend, common)
        assert names_at(backend) == set(names)


def test_one_after_another_without_knowing_of_each_other(backend: Backend, tmp_path: Path) -> None:
    one = export(write(tmp_path / "one", "a", "b"), tmp_path / "store", backend)
    two = export(write(tmp_path / "two", "a", "c"), tmp_path / "store", backend)
    assert names_at(backend) == set("abc")
    (tmp_path / "one/b").unlink()
    export(tmp_path / "one", tmp_path / "store", backend, one)
    assert names_at(backend) == set("ac")
    export(write(tmp_path / "two", "d"), tmp_path / "store", backend, two)
    assert names_at(backend) == set("acd")


def test_packs_that_were_lost_are_sent_again(tmp_path: Path) -> None:
    place = tmp_path / "cache"
    backend = FolderBackend(FolderLocation(str(place)))
    folder = write(tmp_path / "mount", "a")
    (folder / "large").write_bytes(os.urandom(6 << 20))
    export(folder, tmp_path / "store", backend)
    largest = max((place / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    largest.unlink()
    write(folder, "b")
    export(folder, tmp_path / "store", backend)
    found = load_mount(backend, "objects", CANCEL)
    assert found is not None
    (tmp_path / "there").mkdir()
    restore_mount(found.mount, str(tmp_path / "there"), backend, Quiet(), CANCEL)
    assert (tmp_path / "there/large").read_bytes() == (folder / "large").read_bytes()


def test_an_unchanged_mount_is_not_written_again(backend: Backend, tmp_path: Path) -> None:
    folder = write(tmp_path / "mount", "a")
    export(folder, tmp_path / "store", backend)
    before = load_mount(backend, "objects", CANCEL)
    watched = Stalling(backend, 5, lambda: None)  # one check is five calls
    export(folder, tmp_path / "store", watched)
    assert not watched.stalled
    assert load_mount(backend, "objects", CANCEL) == before


def test_threads_of_one_process(backend: Backend, tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def one(name: str) -> None:
        try:
            export(write(tmp_path / name, name), tmp_path / f"store-{name}", backend)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(name,)) for name in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert names_at(backend) == set("abcdef")


def test_claims_that_are_too_much_together_do_not_count(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(write(tmp_path / "mount", "a"), tmp_path / "store", backend)
    entries = tuple(MountEntry(name, 0o100644, 0, 0, 0) for name in "xy")
    claim = MountIndex("objects", (), (), entries)
    with open_store(str(tmp_path / "store")) as store:
        publication = Publication(claim, None, (), backend, store.blobs, Quiet())
        publication._put(f"{part_of('objects')}.0", claim, (), CANCEL)
    assert names_at(backend) == {"a", "x", "y"}
    monkeypatch.setattr(mount_publish, "_MOST_ENTRIES", 3)
    assert names_at(backend) == {"a"}
