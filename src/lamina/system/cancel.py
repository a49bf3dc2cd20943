"""Cancellation tokens: one for each scope of work, which code checks or listens to."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from weakref import WeakSet

from lamina.base.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_POLL = 0.1
"""How often cancellation is checked while another thread holds a lock, in seconds."""


class Cancellation:
    """A one-way switch. Thread-safe. A child is cancelled with its parent, not the reverse.

    A parent holds its children weakly: a child lives as long as the work that uses it, and its
    parents as long as it does.
    """

    __slots__ = ("__weakref__", "_children", "_event", "_listeners", "_lock", "_parent", "_reason")

    def __init__(self, parent: Cancellation | None = None) -> None:
        self._event = threading.Event()
        self._listeners: list[Callable[[], None]] = []
        self._children: WeakSet[Cancellation] | None = None  # created for the first child
        self._lock = threading.Lock()
        self._reason = ""
        self._parent = parent
        if parent is not None:
            parent._adopt(self)

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def cancel(self, reason: str = "cancelled") -> None:
        """Flip the switch, call every listener once, in this thread, and cancel the children."""
        with self._lock:
            if self._event.is_set():
                return
            self._reason = reason
            self._event.set()
            listeners, self._listeners = self._listeners, []
            children = list(self._children or ())
        for listener in listeners:
            listener()
        for child in children:
            child.cancel(reason)

    def check(self) -> None:
        """Raise Cancelled if the switch is flipped. Call it in every long loop."""
        if self._event.is_set():
            raise Cancelled(self._reason)

    def wait(self, seconds: float) -> bool:
        """Sleep, but wake at once when cancelled. Returns whether it was."""
        return self._event.wait(seconds)

    @contextmanager
    def calling(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call `listener` when the switch is flipped during the block, or was before.

        It must not block or raise.
        """
        self._add(listener)
        try:
            yield
        finally:
            with self._lock:
                if listener in self._listeners:
                    self._listeners.remove(listener)

    def _adopt(self, child: Cancellation) -> None:
        with self._lock:
            if not self._event.is_set():
                if self._children is None:
                    self._children = WeakSet()
                self._children.add(child)
                return
        child.cancel(self._reason)

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


@contextmanager
def locked(lock: threading.Lock, cancel: Cancellation) -> Iterator[None]:
    """Hold a lock during the block. Raises Cancelled while it waits."""
    while not lock.acquire(timeout=_POLL):
        cancel.check()
    try:
        yield
    finally:
        lock.release()
