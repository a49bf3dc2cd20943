"""The events of a build, with a way to wait for some of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.base.events import Event

_LIMIT = 20.0  # seconds


class EventLog:
    """Called with each event. Thread-safe."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait_for(self, holds: Callable[[], bool]) -> None:
        """Wait until the condition `holds` is true for the events; fail if it never is."""
        with self._changed:
            assert self._changed.wait_for(holds, _LIMIT)
