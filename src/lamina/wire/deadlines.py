"""Timers: one thread runs actions at their times. It starts with the first one."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Deadlines:
    """Actions run in one thread, one after another, so they must not block."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._actions: dict[object, tuple[float, Callable[[], None]]] = {}
        self._next = float("inf")
        self._thread: threading.Thread | None = None
        self._closed = False

    def set(self, seconds: float, action: Callable[[], None]) -> object:
        """Run `action` in so many seconds. Returns the timer for `drop`."""
        key = object()
        when = time.monotonic() + seconds
        with self._changed:
            self._actions[key] = (when, action)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(
                    target=self._run, name="wire-deadlines", daemon=True
                )
                self._thread.start()
            elif when < self._next:
                self._changed.notify()
        return key

    def drop(self, key: object) -> None:
        """Cancel a timer, if its action has not started."""
        with self._changed:
            self._actions.pop(key, None)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                now = time.monotonic()
                due = [key for key, (when, _) in self._actions.items() if when <= now]
                actions = [self._actions.pop(key)[1] for key in due]
                if not actions:
                    self._next = min(
                        (when for when, _ in self._actions.values()), default=float("inf")
                    )
                    wait = min(self._next - now, threading.TIMEOUT_MAX)
                    self._changed.wait(wait)
                    continue
            for action in actions:
                action()
