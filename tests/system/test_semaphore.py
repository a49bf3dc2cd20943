"""Slots are counted, and waiting for one can be cancelled."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lamina.base.errors import Cancelled
from lamina.system.cancel import Cancellation
from lamina.system.semaphore import CancellableSemaphore


def test_no_more_threads_than_slots_at_a_time() -> None:
    semaphore = CancellableSemaphore(3)
    lock = threading.Lock()
    now = 0
    seen: list[int] = []

    def work() -> None:
        nonlocal now
        with semaphore.slot(Cancellation()):
            with lock:
                now += 1
                seen.append(now)
            time.sleep(0.005)
            with lock:
                now -= 1

    with ThreadPoolExecutor(12) as threads:
        for done in [threads.submit(work) for _ in range(24)]:
            done.result(20)
    assert len(seen) == 24
    assert max(seen) == 3


def test_a_cancelled_waiter_takes_no_slot() -> None:
    semaphore = CancellableSemaphore(1)
    cancel = Cancellation()

    def wait(cancel: Cancellation) -> None:
        with semaphore.slot(cancel):
            pass

    with ThreadPoolExecutor(2) as threads:
        with semaphore.slot(Cancellation()):
            waiting = threads.submit(wait, cancel)
            other = threads.submit(wait, Cancellation())
            cancel.cancel("enough")
            with pytest.raises(Cancelled, match="enough"):
                waiting.result(20)
            assert not other.done()
        other.result(20)


def test_an_error_in_the_block_frees_the_slot() -> None:
    semaphore = CancellableSemaphore(1)
    with pytest.raises(ZeroDivisionError), semaphore.slot(Cancellation()):
        _ = 1 / 0
    with semaphore.slot(Cancellation()):
        pass
