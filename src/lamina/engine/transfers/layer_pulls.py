"""Pulls layers from registries: each once, several concurrently, with progress."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from lamina.base.errors import (
    Cancelled,
    Corrupt,
    LaminaError,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from lamina.base.events import StatusEvent
from lamina.engine.registries import current_requesters, on_behalf_of
from lamina.engine.steps import step
from lamina.system.single_flight import SingleFlight
from lamina.system.threads import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.base.events import Event, EventSink
    from lamina.base.oci import Descriptor
    from lamina.engine.steps import Step
    from lamina.engine.transfers.layer_fetcher import LayerFetcher
    from lamina.stores.blobs import BlobStore
    from lamina.stores.origins import LayerOrigins, Origin
    from lamina.system.cancel import Cancellation

_AT_ONCE = 4
_PERIOD = 0.1
_ORIGIN_ERRORS = (NotFound, PermissionDenied, Unavailable, Corrupt)


class LayerPulls:
    """Fetches layers, each from the first of its origins that has it.

    A layer that several builds wait for is fetched once, and shown to all of them.
    """

    def __init__(self, blobs: BlobStore, origins: LayerOrigins, fetcher: LayerFetcher) -> None:
        self._blobs = blobs
        self._origins = origins
        self._fetcher = fetcher
        # Not by digest alone: two clients may have to fetch a blob from different repositories.
        self._downloads: SingleFlight[None] = SingleFlight()
        self._lock = threading.Lock()
        self._watching: list[EventSink] = []

    @contextmanager
    def watched(self, events: EventSink) -> Iterator[None]:
        """Show the pulls of the block."""
        with self._lock:
            self._watching.append(events)
        try:
            yield
        finally:
            with self._lock:
                self._watching.remove(events)

    def fetch(self, blobs: Sequence[Descriptor], cancel: Cancellation) -> None:
        """Fetch layers' blobs into the store.

        If no origin of a blob works, raises the error of the first one after all transfers have
        ended; NotFound if there is no origin.
        """
        failures: dict[Descriptor, LaminaError] = {}
        waiting = list(dict.fromkeys(blobs))
        while waiting:
            by_origin: dict[Origin, list[Descriptor]] = {}
            for blob in waiting:
                by_origin.setdefault(self._next_origin(blob, failures), []).append(blob)
            waiting = []
            for origin, wanted in by_origin.items():
                waiting += self._fetch_from(origin, wanted, failures, cancel)

    def available(self, blob: Descriptor, cancel: Cancellation) -> bool:
        """Whether a layer's blob is here or can be fetched. Raises Cancelled.

        Blobs in a layout or at a client may disappear soon, so they are fetched at once.
        """
        origins = self._origins.of(blob.digest)
        return self._blobs.has(blob.digest) or any(
            self._fetcher.registry_has(blob, origin, cancel)
            if origin.reference
            else self._fetched(blob, origin, cancel)
            for origin in origins
        )

    def _fetched(self, blob: Descriptor, origin: Origin, cancel: Cancellation) -> bool:
        try:
            return not self._fetch_from(origin, [blob], {}, cancel)
        except Cancelled:
            raise
        except LaminaError:
            return False

    def _next_origin(self, blob: Descriptor, failures: dict[Descriptor, LaminaError]) -> Origin:
        origins = self._origins.of(blob.digest)
        if origins:
            return origins[0]
        raise failures.get(blob) or NotFound(
            f"layer {blob.digest} is not in the store, and no origin of it is known",
            hint="build with --pull, or pull the base image again",
        )

    def _fetch_from(
        self,
        origin: Origin,
        blobs: Sequence[Descriptor],
        failures: dict[Descriptor, LaminaError],
        cancel: Cancellation,
    ) -> list[Descriptor]:
        """Fetch blobs from one origin. Returns those to be fetched from another one."""
        failed: dict[Descriptor, LaminaError] = {}
        # Get the current requesters: the failure does not count for builds that join later.
        requesters = current_requesters()
        with step(f"[internal] pull {origin}", self._emit) as shown:
            with WorkerPool(_AT_ONCE, "pull") as pool:
                for blob in blobs:
                    pool.submit(partial(self._try, blob, origin, shown, failed, cancel))
            for blob, error in failed.items():
                if not isinstance(error, _ORIGIN_ERRORS):
                    raise error
                lacks = isinstance(error, NotFound | Corrupt)
                with on_behalf_of(lambda: requesters):
                    self._origins.remove(blob.digest, origin, for_good=lacks)
                failures.setdefault(blob, error)
                if not self._origins.of(blob.digest):
                    raise failures[blob]
                shown.warn(f"layer {blob.digest} could not be pulled from {origin}: {error.reason}")
        return list(failed)

    def _try(
        self,
        blob: Descriptor,
        origin: Origin,
        shown: Step,
        failed: dict[Descriptor, LaminaError],
        cancel: Cancellation,
    ) -> None:
        try:
            self._downloads.run(
                (blob.digest, origin), lambda: self._pull(blob, origin, shown, cancel), cancel
            )
        except LaminaError as error:
            failed[blob] = error

    def _pull(self, blob: Descriptor, origin: Origin, shown: Step, cancel: Cancellation) -> None:
        name, total = str(blob.digest), blob.size
        started = time.time()
        reported = 0.0

        def report(current: int) -> None:
            nonlocal reported
            now = time.time()
            if now - reported >= _PERIOD:
                reported = now
                self._emit(StatusEvent(shown.digest, name, now, current, total, started))

        self._fetcher.fetch(blob, origin, cancel, report)
        now = time.time()
        self._emit(StatusEvent(shown.digest, name, now, total, total, started, now))

    def _emit(self, event: Event) -> None:
        with self._lock:
            watching = list(self._watching)
        for events in watching:
            events(event)
