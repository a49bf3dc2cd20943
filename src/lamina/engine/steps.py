"""Steps in the progress that no op belongs to."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled, LaminaError
from lamina.base.events import StatusEvent, VertexEvent, WarningEvent
from lamina.base.redact import redacted
from lamina.engine.definition_graph import internal_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamina.base.digest import Digest
    from lamina.base.events import EventSink
    from lamina.base.oci import Descriptor

_PERIOD = 0.1


class Step:
    """A running step. `status` adds finished sub-lines, `doing` timed ones."""

    def __init__(self, digest: Digest, events: EventSink) -> None:
        self.digest = digest
        self._events = events

    def event(self, event: StatusEvent) -> None:
        """Pass on a status event whose times are already set."""
        self._events(event)

    def status(self, text: str, current: int = 0, total: int = 0) -> None:
        now = time.time()
        self._events(StatusEvent(self.digest, text, now, current, total, now, now))

    def warn(self, text: str) -> None:
        """Report a problem that does not stop the build."""
        self._events(WarningEvent(self.digest, text))

    def meter(self, verb: str) -> Meter:
        """A display of blob transfers, as `<verb> <digest>`."""
        return Meter(self, verb)

    @contextmanager
    def doing(self, text: str) -> Iterator[None]:
        started = time.time()
        self._events(StatusEvent(self.digest, text, started, started=started))
        yield
        now = time.time()
        self._events(StatusEvent(self.digest, text, now, started=started, completed=now))

    @contextmanager
    def transferring(self, text: str) -> Iterator[Callable[[int], None]]:
        """Show a transfer. The block gets a function to call with the bytes so far."""
        started = reported = time.time()
        so_far = 0

        def report(now: float, completed: float | None) -> None:
            self._events(
                StatusEvent(
                    self.digest, text, now, so_far, 0, started, completed, name="transferring"
                )
            )

        def progress(sent: int) -> None:
            nonlocal so_far, reported
            so_far = sent
            now = time.time()
            if now - reported >= _PERIOD:
                reported = now
                report(now, None)

        report(started, None)
        yield progress
        now = time.time()
        report(now, now)


class Meter:
    """Shows the progress of each blob, at a limited rate."""

    def __init__(self, shown: Step, verb: str) -> None:
        self._shown = shown
        self._verb = verb
        self._lock = threading.Lock()
        self._begun: dict[Digest, tuple[float, float]] = {}

    def __call__(self, descriptor: Descriptor, sent: int, /) -> None:
        now = time.time()
        whole = sent >= descriptor.size
        with self._lock:
            started, reported = self._begun.get(descriptor.digest, (0.0, 0.0))
            if not started and whole:
                return  # it is already here
            started = started or now
            if not whole and now - reported < _PERIOD:
                return
            self._begun[descriptor.digest] = (started, now)
        self._shown.event(
            StatusEvent(
                self._shown.digest,
                f"{self._verb} {descriptor.digest}",
                now,
                sent,
                descriptor.size,
                started,
                now if whole else None,
            )
        )


@contextmanager
def step(name: str, events: EventSink) -> Iterator[Step]:
    """Show a step for the block. An error inside is shown as the step's error."""
    name = redacted(name)
    digest = internal_digest(name)
    started = time.time()
    events(VertexEvent(digest, name, started=started))
    try:
        yield Step(digest, events)
    except LaminaError as error:
        reason = error.message if isinstance(error, Cancelled) else error.reason
        events(VertexEvent(digest, name, started=started, completed=time.time(), error=reason))
        raise
    events(VertexEvent(digest, name, started=started, completed=time.time()))
