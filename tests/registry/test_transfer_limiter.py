from __future__ import annotations

import threading
import time

import pytest

from lamina.base.errors import Cancelled
from lamina.registry.transfer_limiter import TransferLimiter
from lamina.system.cancel import Cancellation


def test_transfers_per_registry_are_limited() -> None:
    limiter = TransferLimiter(2)
    lock = threading.Lock()
    now = most = 0

    def work(domain: str) -> None:
        nonlocal now, most
        with limiter.slot(domain, Cancellation()), limiter.slot(domain, Cancellation()):
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.01)
            with lock:
                now -= 1

    threads = [threading.Thread(target=work, args=("a.example",)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2


def test_other_registries_do_not_wait_and_waiting_can_be_cancelled() -> None:
    limiter = TransferLimiter(1)
    cancel = Cancellation()
    ended = []

    def wait() -> None:
        with limiter.slot("b.example", Cancellation()):
            pass
        with pytest.raises(Cancelled), limiter.slot("a.example", cancel):
            pass
        ended.append(True)

    with limiter.slot("a.example", Cancellation()):
        thread = threading.Thread(target=wait)
        thread.start()
        cancel.cancel()
        thread.join()
    assert ended
