"""Connects the build's threads to a renderer: a queue, which one thread drains.

An event costs the build one append. Only one thread at a time calls the renderer, so it needs no
locks. When the output is slower than the build, producers of logs wait: nothing is dropped, and
memory is bounded.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from lamina.base.events import LogEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lamina.base.events import Event

_PERIOD = 0.1
_LOG_LIMIT = 4 << 20


class Renderer(Protocol):
    """Shows events. Any method may raise OSError when its output is closed."""

    def update(self, events: Sequence[Event], now: float) -> None:
        """Apply events, and show what is due at `now` (seconds since the epoch)."""
        ...

    def finish(self, now: float) -> None:
        """Show the final state. No call follows."""
        ...

    def leave(self) -> None:
        """Something else writes to the output next: do not draw over it."""
        ...


class Pump:
    """An EventSink that updates a renderer about ten times a second. Close it."""

    def __init__(self, renderer: Renderer, clock: Callable[[], float] = time.time) -> None:
        self._renderer: Renderer | None = renderer
        self._clock = clock
        self._events: list[Event] = []
        self._log_bytes = 0
        self._lock = threading.Lock()
        self._drawing = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._ending = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="progress", daemon=True)
        self._thread.start()

    def __call__(self, event: Event, /) -> None:
        with self._lock:
            if isinstance(event, LogEvent):
                while self._log_bytes > _LOG_LIMIT and not self._ending:
                    self._wake.set()
                    self._room.wait()
                self._log_bytes += len(event.data)
            self._events.append(event)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Show nothing during the block. Producers of long logs wait."""
        self._drain()
        with self._drawing:
            if self._renderer is not None:
                self._renderer.leave()
            yield

    def close(self) -> None:
        """Show the remaining events and the final state. Closed output is not an error.

        Raises other errors of the renderer.
        """
        with self._lock:
            self._ending = True
            self._room.notify_all()
        self._wake.set()
        self._thread.join()
        self._drain()
        renderer, self._renderer = self._renderer, None
        if self._failure is not None:
            raise self._failure
        if renderer is not None:
            try:
                renderer.finish(self._clock())
            except OSError:
                return

    def _work(self) -> None:
        while not self._ending:
            self._wake.wait(_PERIOD)
            self._wake.clear()
            if not self._ending:
                self._drain()

    def _drain(self) -> None:
        with self._drawing:
            self._show()

    def _show(self) -> None:
        with self._lock:
            events, self._events = self._events, []
            self._log_bytes = 0
            self._room.notify_all()
        if self._renderer is None:
            return
        try:
            self._renderer.update(events, self._clock())
        except OSError:
            self._renderer = None  # the reader of the output is gone; the build continues
        except Exception as error:
            # Keep draining the queue, or the build would wait for space in it.
            self._renderer, self._failure = None, error
