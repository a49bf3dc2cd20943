"""Limits what a bad cache backend can cost: deadlines, and a circuit breaker.

A backend that is slow, throttled or half down is given up after a few failures. Then each further
use fails at once, so that the build goes on as if it had no cache.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled, Unavailable
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.base.digest import Digest
    from lamina.base.oci import Descriptor
    from lamina.cacheio.backend import Backend
    from lamina.cacheio.economics import TransferRate
    from lamina.registry.upload import Content, Transferred
    from lamina.stores.origins import Origin

_FAILURES = 3
"""Consecutive failures, each after several attempts, that open the breaker. One that is too slow
opens it at once."""
_REQUEST = 30.0
"""The seconds for a small request, with all its attempts."""
_SLOWEST = 250_000
"""The bytes per second at which a blob must arrive at least: many steps are faster than that."""


@contextmanager
def limited(cancel: Cancellation, seconds: float, what: str) -> Iterator[Cancellation]:
    """Cancel the block after some time. Raises TooSlow if that happened."""
    within = Cancellation(cancel)
    timer = threading.Timer(seconds, within.cancel, ("it takes too long",))
    timer.daemon = True
    timer.start()
    try:
        yield within
    except Cancelled:
        if cancel.cancelled or not within.cancelled:
            raise
        raise TooSlow(f"{what} took longer than {seconds:.0f} s") from None
    finally:
        timer.cancel()
        timer.join()


class TooSlow(Unavailable):
    """A deadline has passed."""


class Breaker:
    """Counts failures of one backend. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures = 0
        self._last = ""

    @property
    def is_open(self) -> bool:
        """Whether the backend is given up."""
        with self._lock:
            return self._failures >= _FAILURES

    @contextmanager
    def guarding(self, label: str) -> Iterator[None]:
        """Use the backend in the block. Raises Unavailable if it is given up."""
        with self._lock:
            failures, last = self._failures, self._last
        if failures >= _FAILURES:
            raise Unavailable(f"{label} is given up for this build, after failures: {last}")
        try:
            yield
        except Unavailable as error:
            with self._lock:
                self._failures += _FAILURES if isinstance(error, TooSlow) else 1
                self._last = error.reason
            raise
        with self._lock:
            if self._failures < _FAILURES:
                self._failures = 0


class GuardedBackend:
    """A backend with limits, and a meter. Implements `lamina.cacheio.backend.Backend`."""

    def __init__(self, backend: Backend, breaker: Breaker, rate: TransferRate) -> None:
        self._backend = backend
        self._breaker = breaker
        self.rate = rate

    @property
    def label(self) -> str:
        return self._backend.label

    @property
    def origin(self) -> Origin:
        return self._backend.origin

    def alternatives(self) -> Sequence[Backend]:
        return [
            GuardedBackend(each, self._breaker, self.rate) for each in self._backend.alternatives()
        ]

    def manifest(self, part: str, cancel: Cancellation) -> tuple[Digest, bytes]:
        with self._request(cancel) as within:
            return self._backend.manifest(part, within)

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        with self._request(cancel) as within:
            return self._backend.document(descriptor, within)

    def blob(
        self, descriptor: Descriptor, cancel: Cancellation, offset: int = 0
    ) -> Iterator[bytes]:
        seconds = _REQUEST + (descriptor.size - offset) / _SLOWEST
        with (
            self._breaker.guarding(self.label),
            limited(cancel, seconds, f"{self.label}: reading {descriptor.digest}") as within,
        ):
            started = time.monotonic()
            waited = 0.0  # without the time that the receiver takes
            size = 0
            for chunk in self._backend.blob(descriptor, within, offset):
                waited += time.monotonic() - started
                size += len(chunk)
                yield chunk
                started = time.monotonic()
            self.rate.add(size, waited)

    def has(self, descriptor: Descriptor, cancel: Cancellation) -> bool:
        with self._request(cancel) as within:
            return self._backend.has(descriptor, within)

    def stage(
        self,
        part: str,
        blobs: Sequence[Descriptor],
        content: Content,
        cancel: Cancellation,
        progress: Transferred | None = None,
    ) -> None:
        with self._breaker.guarding(self.label), self.rate.measuring(content) as counted:
            self._backend.stage(part, blobs, counted, cancel, progress)

    def name(self, part: str, target: Descriptor, content: Content, cancel: Cancellation) -> None:
        with self._breaker.guarding(self.label):
            self._backend.name(part, target, content, cancel)

    @contextmanager
    def _request(self, cancel: Cancellation) -> Iterator[Cancellation]:
        with (
            self._breaker.guarding(self.label),
            limited(cancel, _REQUEST, f"{self.label}: a request") as within,
        ):
            yield within
