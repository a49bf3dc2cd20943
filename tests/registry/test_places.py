from __future__ import annotations

import threading
import time

import pytest

from lamina.base.errors import Cancelled
from lamina.registry.places import Places
from lamina.system.cancel import Cancellation


def test_so_many_for_each_registry_and_no_more() -> None:
    places = Places(2)
    lock = threading.Lock()
    now = most = 0

    def work(domain: str) -> None:
        nonlocal now, most
        with places.taken(domain, Cancellation()), places.taken(domain, Cancellation()):
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


def test_other_registries_and_who_waits_no_more() -> None:
    places = Places(1)
    cancel = Cancellation()
    ended = []

    def wait() -> None:
        with places.taken("b.example", Cancellation()):
            pass
        with pytest.raises(Cancelled), places.taken("a.example", cancel):
            pass
        ended.append(True)

    with places.taken("a.example", Cancellation()):
        thread = threading.Thread(target=wait)
        thread.start()
        cancel.cancel()
        thread.join()
    assert ended
