"""The pool of threads: all work is done, with the permitted concurrency."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from lamina.system.threads import WorkerPool

SOON = 20.0


def test_blocking_work_gets_all_threads() -> None:
    together = threading.Barrier(7)  # six threads of the pool, and this one
    with WorkerPool(6) as pool:
        for _ in range(12):
            pool.submit(partial(together.wait, SOON))
        for _ in range(2):
            together.wait(SOON)


def test_work_submitted_by_work_is_done() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        done.append(number)
        if number % 3 == 0:
            time.sleep(0.0001)
        if number < 3000:
            pool.submit(partial(work, number + 1000))

    submitters = 4
    with WorkerPool(5) as pool:

        def submit(first: int) -> None:
            for number in range(first, 1000, submitters):
                pool.submit(partial(work, number))

        threads = [threading.Thread(target=submit, args=(i,)) for i in range(submitters)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        deadline = time.monotonic() + SOON
        while len(done) < 4000 and time.monotonic() < deadline:
            time.sleep(0.001)
    assert sorted(done) == list(range(4000))


def test_leaving_a_pool_waits_for_its_work() -> None:
    for amount in range(1, 40):
        done: list[int] = []

        def work(number: int, done: list[int] = done) -> None:
            time.sleep(0.0005 * (number % 3))
            done.append(number)

        with WorkerPool(amount) as pool:
            for number in range(amount):
                pool.submit(partial(work, number))
        assert len(done) == amount


def test_close_returns_whether_all_work_has_ended() -> None:
    held = threading.Event()
    pool = WorkerPool(2)
    pool.submit(partial(held.wait, SOON))
    assert not pool.close(0.01)
    held.set()
    assert pool.close(SOON)


def test_waiting_work_releases_its_thread_slot() -> None:
    inner = threading.Event()

    def outer() -> None:
        pool.submit(inner.set)
        with pool.waiting():
            assert inner.wait(SOON)

    with WorkerPool(1) as pool:
        pool.submit(outer)
        assert inner.wait(SOON)


def test_a_pool_works_with_fewer_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    done: list[int] = []
    with WorkerPool(4) as pool:
        pool.submit(partial(released.wait, SOON))
        with monkeypatch.context() as refusing:
            refusing.setattr(threading.Thread, "start", refuse)
            for number in range(3):
                pool.submit(partial(done.append, number))
            released.set()
            deadline = time.monotonic() + SOON
            while len(done) < 3 and time.monotonic() < deadline:
                time.sleep(0.001)
    assert done == [0, 1, 2]


def test_without_any_thread_submitting_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    with WorkerPool(2) as pool:
        with monkeypatch.context() as refusing:
            refusing.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="no thread"):
                pool.submit(lambda: done.append(0))
        pool.submit(lambda: done.append(1))
    assert done == [1]


def refuse(thread: threading.Thread) -> None:
    raise RuntimeError("no thread")
