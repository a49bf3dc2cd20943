"""A limit on concurrent blob transfers per registry."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.system.semaphore import CancellableSemaphore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.system.cancel import Cancellation


class TransferLimiter:
    """At most `count` transfers per registry. Thread-safe.

    A thread that holds a slot does not need a second one: a blob that is sent on while it is
    received would wait for itself.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._slots: dict[str, CancellableSemaphore] = {}
        self._holders: set[int] = set()

    @contextmanager
    def slot(self, domain: str, cancel: Cancellation) -> Iterator[None]:
        """Hold a slot for the block. Raises Cancelled."""
        thread = threading.get_ident()
        with self._lock:
            nested = thread in self._holders
            slots = self._slots.setdefault(domain, CancellableSemaphore(self._count))
        if nested:
            yield
            return
        with slots.slot(cancel):
            with self._lock:
                self._holders.add(thread)
            try:
                yield
            finally:
                with self._lock:
                    self._holders.discard(thread)
