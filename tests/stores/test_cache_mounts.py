"""Sharing modes of cache mounts, between holders in one process as between processes."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from lamina.stores.cache_mounts import CacheMountStore
from lamina.stores.store import open_store
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[CacheMountStore]:
    with open_store(str(tmp_path / "store")) as store:
        yield CacheMountStore(store)


def nothing(folder: str) -> None:
    return


def test_a_shared_mount_is_used_by_several_at_once(mounts: CacheMountStore) -> None:
    entered = threading.Barrier(3, timeout=10)
    found: list[str] = []

    def use() -> None:
        with mounts.shared("go", nothing) as folder:
            found.append(folder)
            entered.wait()

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    entered.wait()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]


def test_private_mounts_differ_while_in_use(mounts: CacheMountStore) -> None:
    with mounts.private("go", nothing) as first, mounts.private("go", nothing) as second:
        assert first != second
    with mounts.private("go", nothing) as again:
        assert again == first


def test_an_error_of_the_user_is_not_taken_for_a_busy_mount(mounts: CacheMountStore) -> None:
    with pytest.raises(BlockingIOError), mounts.private("go", nothing):
        raise BlockingIOError


def test_a_locked_mount_waits_and_can_be_cancelled(mounts: CacheMountStore) -> None:
    from lamina.base.errors import Cancelled

    cancel = Cancellation()
    with mounts.locked("go", nothing, Cancellation()):
        threading.Timer(0.1, cancel.cancel).start()
        with pytest.raises(Cancelled), mounts.locked("go", nothing, cancel):
            pass


def test_a_seed_runs_once_and_a_broken_one_leaves_nothing(mounts: CacheMountStore) -> None:
    def broken(folder: str) -> None:
        (open(os.path.join(folder, "half"), "w")).close()
        raise OSError("no")

    def good(folder: str) -> None:
        (open(os.path.join(folder, "seed"), "w")).close()

    with pytest.raises(OSError, match="no"), mounts.shared("go", broken):
        pass
    for _ in range(2):
        with mounts.shared("go", good) as folder:
            assert os.listdir(folder) == ["seed"]
            os.unlink(os.path.join(folder, "seed"))
            good(folder)


def test_a_mount_that_is_given_up_begins_anew(mounts: CacheMountStore) -> None:
    with mounts.shared("go", nothing) as old:
        (open(os.path.join(old, "old"), "w")).close()
    mounts.detach("go")
    assert not os.path.exists(old)
    with mounts.locked("go", nothing, Cancellation()) as new:
        assert os.listdir(new) == []


@pytest.mark.parametrize("mode", ["shared", "locked", "private"])
def test_a_user_of_a_detached_mount_keeps_it_until_it_is_released(
    mounts: CacheMountStore, mode: str
) -> None:
    def use(mode: str) -> AbstractContextManager[str]:
        if mode == "locked":
            return mounts.locked("go", nothing, Cancellation())
        return mounts.shared("go", nothing) if mode == "shared" else mounts.private("go", nothing)

    with use(mode) as old:
        mounts.detach("go")
        mounts.detach("go")
        with use("locked") as new:
            assert new != old
            assert os.path.isdir(old)
            # Detached again, and in use again: three directories with one name.
            mounts.detach("go")
            with use("private") as newest:
                assert len({old, new, newest}) == 3
        assert not os.path.exists(new)
        with use("shared") as latest:
            assert latest == newest
    assert not os.path.exists(old)
    assert [summary.folders for summary in mounts.summaries()] == [(newest,)]


def test_the_last_of_several_users_removes_a_detached_mount(mounts: CacheMountStore) -> None:
    with mounts.shared("go", nothing) as one:
        with mounts.shared("go", nothing) as two:
            mounts.detach("go")
        assert one == two
        assert os.path.isdir(one)
    assert not os.path.exists(one)


def test_a_waiter_for_a_detached_mount_gets_the_new_one(mounts: CacheMountStore) -> None:
    found: list[str] = []

    def wait() -> None:
        with mounts.locked("go", nothing, Cancellation()) as folder:
            found.extend(os.listdir(folder))

    with mounts.locked("go", nothing, Cancellation()) as old:
        (open(os.path.join(old, "old"), "w")).close()
        waiting = threading.Thread(target=wait)
        waiting.start()
        mounts.detach("go")
    waiting.join(10)
    assert not waiting.is_alive()
    assert found == []
