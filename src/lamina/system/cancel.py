"""Cancellation that reaches everything: one token a scope, checked or listened to."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Cancellation:
    """A one-way switch. Thread-safe. A child is cancelled with its parent, not the reverse."""

    __slots__ = ("_event", "_listeners", "_lock", "_reason")

    def __init__(self, parent: Cancellation | None = None) -> None:
        self._event = threading.Event()
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._reason = ""
        if parent is not None:
            parent._add(lambda: self.cancel(parent._reason))

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def cancel(self, reason: str = "cancelled") -> None:
        """Flip the switch and call every listener once, in this thread."""
        with self._lock:
            if self._event.is_set():
                return
            self._reason = reason
            self._event.set()
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    def check(self) -> None:
        """Raise Cancelled if the switch is flipped. Call it in every long loop."""
        if self._event.is_set():
            raise Cancelled(self._reason)

    def wait(self, seconds: float) -> bool:
        """Sleep, but wake at once when cancelled. Returns whether it was."""
        return self._event.wait(seconds)

    @contextmanager
    def calling(self, listener: Callable[[], None]) -> Iterator[None]:
        """Have `listener` called on cancellation for the length of the block.

        It is called at once if the switch is flipped already. It must not block or raise.
        """
        self._add(listener)
        try:
            yield
        finally:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

    def _add(self, listener: Callable[[], None]) -> None:
        with self._lock:
            if not self._event.is_set():
                self._listeners.append(listener)
                return
        listener()


def wait_any(*switches: Cancellation) -> None:
    """Sleep until one of them is flipped."""
    flipped = threading.Event()
    with ExitStack() as listening:
        for switch in switches:
            listening.enter_context(switch.calling(flipped.set))
        flipped.wait()
