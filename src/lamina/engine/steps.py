"""Steps that people see although no op stands behind them."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.base.events import StatusEvent, VertexEvent
from lamina.engine.graph import internal_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.base.digest import Digest
    from lamina.base.events import EventSink


class Step:
    """A running step; `status` adds finished sub-lines, `doing` timed ones."""

    def __init__(self, digest: Digest, events: EventSink) -> None:
        self.digest = digest
        self._events = events

    def event(self, event: StatusEvent) -> None:
        """Pass on a sub-line that its maker keeps the times of."""
        self._events(event)

    def status(self, text: str, current: int = 0, total: int = 0) -> None:
        now = time.time()
        self._events(StatusEvent(self.digest, text, now, current, total, now, now))

    @contextmanager
    def doing(self, text: str) -> Iterator[None]:
        started = time.time()
        self._events(StatusEvent(self.digest, text, started, started=started))
        yield
        now = time.time()
        self._events(StatusEvent(self.digest, text, now, started=started, completed=now))


@contextmanager
def step(name: str, events: EventSink) -> Iterator[Step]:
    """Show a step for the length of the block; an error inside is shown as its own."""
    digest = internal_digest(name)
    started = time.time()
    events(VertexEvent(digest, name, started=started))
    try:
        yield Step(digest, events)
    except LaminaError as error:
        events(
            VertexEvent(digest, name, started=started, completed=time.time(), error=error.reason)
        )
        raise
    events(VertexEvent(digest, name, started=started, completed=time.time()))
