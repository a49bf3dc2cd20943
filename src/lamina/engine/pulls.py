"""Layers on their way from registries: each one once, several at a time, in sight of the user."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.base.events import StatusEvent
from lamina.engine.steps import step
from lamina.stores.layers import CACHE, FOLDER
from lamina.system.flight import Flights
from lamina.system.threads import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.base.events import Event, EventSink
    from lamina.engine.steps import Step
    from lamina.sources.image import ImageResolver
    from lamina.stores.layers import Layer
    from lamina.system.cancel import Cancellation

_AT_ONCE = 4
_PERIOD = 0.1


class Pulls:
    """Fetches the layers that images named.

    A layer that several builds wait for is fetched once, and shown to all that are under way.
    """

    def __init__(self, resolver: ImageResolver) -> None:
        self._resolver = resolver
        self._flights: Flights[None] = Flights()
        self._lock = threading.Lock()
        self._watching: list[EventSink] = []

    @contextmanager
    def watched(self, events: EventSink) -> Iterator[None]:
        """Show what is pulled during the block."""
        with self._lock:
            self._watching.append(events)
        try:
            yield
        finally:
            with self._lock:
                self._watching.remove(events)

    def fetch(self, layers: Sequence[Layer], cancel: Cancellation) -> None:
        """Bring layers' blobs into the store. Raises the first error, when all have ended."""
        errors: list[LaminaError] = []
        origins = dict.fromkeys(layer.origin for layer in layers)
        for origin in origins:
            wanted = [layer for layer in layers if layer.origin == origin]
            with step(f"[internal] pull {_place(origin)}", self._emit) as shown:
                with WorkerPool(_AT_ONCE, "pull") as pool:
                    for layer in wanted:
                        pool.submit(partial(self._try, layer, shown, errors, cancel))
                if errors:
                    raise errors[0]

    def _try(
        self, layer: Layer, shown: Step, errors: list[LaminaError], cancel: Cancellation
    ) -> None:
        try:
            self._flights.run(
                layer.descriptor.digest, lambda: self._pull(layer, shown, cancel), cancel
            )
        except LaminaError as error:
            errors.append(error)

    def _pull(self, layer: Layer, shown: Step, cancel: Cancellation) -> None:
        name, total = str(layer.descriptor.digest), layer.descriptor.size
        started = time.time()
        told = 0.0

        def tell(current: int) -> None:
            nonlocal told
            now = time.time()
            if now - told >= _PERIOD:
                told = now
                self._emit(StatusEvent(shown.digest, name, now, current, total, started))

        self._resolver.fetch(layer, cancel, tell)
        now = time.time()
        self._emit(StatusEvent(shown.digest, name, now, total, total, started, now))

    def _emit(self, event: Event) -> None:
        with self._lock:
            watching = list(self._watching)
        for events in watching:
            events(event)


def _place(origin: str) -> str:
    return origin.removeprefix(CACHE).removeprefix(FOLDER).partition("@")[0]
