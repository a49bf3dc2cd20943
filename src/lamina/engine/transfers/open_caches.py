"""The caches in object stores that running builds have opened."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.cacheio.backend import Backend


class OpenCaches:
    """Backends by the location of their origin. Thread-safe.

    Several builds can open one location, perhaps with different credentials.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Backend, ...]] = {}

    def add(self, backend: Backend) -> None:
        with self._lock:
            location = backend.origin.location
            self._open[location] = (*self._open.get(location, ()), backend)

    def remove(self, backend: Backend) -> None:
        with self._lock:
            location = backend.origin.location
            left = tuple(one for one in self._open.get(location, ()) if one is not backend)
            if left:
                self._open[location] = left
            else:
                self._open.pop(location, None)

    def at(self, location: str) -> Sequence[Backend]:
        """The backends at a location, of all builds."""
        with self._lock:
            return self._open.get(location, ())
