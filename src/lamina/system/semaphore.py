"""A counting semaphore whose waiters can be cancelled."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.system.cancel import Cancellation


class CancellableSemaphore:
    """Lets `count` threads at a time hold a slot."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._changed = threading.Condition()

    @contextmanager
    def slot(self, cancel: Cancellation) -> Iterator[None]:
        """Hold a slot during the block. Raises Cancelled while waiting for one."""
        self._acquire(cancel)
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify()

    def _acquire(self, cancel: Cancellation) -> None:
        with self._changed:
            if self._free:
                self._free -= 1
                return
        with cancel.calling(self._wake), self._changed:
            while not self._free:
                cancel.check()
                self._changed.wait()
            self._free -= 1

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
