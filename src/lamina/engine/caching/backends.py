"""The cache backends of one build: each is opened once, and closed when the build ends."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lamina.base.errors import NotFound
from lamina.cacheio.backend import FolderBackend, RegistryBackend
from lamina.cacheio.economics import TransferRate
from lamina.cacheio.guarded import Breaker, GuardedBackend
from lamina.cacheio.options import ClientLocation, FolderLocation, RegistryLocation

if TYPE_CHECKING:
    from lamina.cacheio.backend import Backend
    from lamina.cacheio.object_options import ObjectLocation
    from lamina.cacheio.options import BackendLocation
    from lamina.engine.registries import RegistryFinder
    from lamina.engine.transfers.open_caches import OpenCaches
    from lamina.objectstores.contract import ObjectStore
    from lamina.session.contract import Session


class Backends:
    """Opens backends, with one breaker and one meter for each location. Thread-safe.

    Args:
        session: that of the build's client, None for commands without one.
        opened: where backends in object stores are found by their origin.
    """

    def __init__(
        self, registry_of: RegistryFinder, session: Session | None, opened: OpenCaches
    ) -> None:
        self._registry_of = registry_of
        self._session = session
        self._opened = opened
        self._lock = threading.Lock()
        self._breakers: dict[str, Breaker] = {}
        self._rates: dict[str, TransferRate] = {}
        self._stores: dict[ObjectLocation, tuple[ObjectStore, list[Backend]]] = {}

    def of(self, location: BackendLocation) -> Backend:
        """Open the backend of a location. Raises NotFound, InvalidInput, Unsupported."""
        if isinstance(location, FolderLocation):
            return FolderBackend(location)
        if isinstance(location, ClientLocation):
            from lamina.cacheio.client_backend import ClientBackend

            if self._session is None:
                raise NotFound(f"{location.store}: the client does not provide it")
            return ClientBackend(self._session.content(location.store), location)
        if isinstance(location, RegistryLocation):
            domain = location.reference.domain
            client = self._registry_of(domain, insecure=location.insecure)
            backend = RegistryBackend(client, location.reference)
            with self._lock:
                return self._guarded(backend)
        with self._lock:
            if location not in self._stores:
                self._stores[location] = self._open(location)
            return self._stores[location][1][0]

    def is_given_up(self, location: str) -> bool:
        """Whether the backend whose origin has this location has failed too often."""
        with self._lock:
            breaker = self._breakers.get(location)
        return breaker is not None and breaker.is_open

    def close(self) -> None:
        """Close the object stores."""
        with self._lock:
            opened, self._stores = list(self._stores.values()), {}
        for store, backends in opened:
            for backend in backends:
                self._opened.remove(backend)
            store.close()

    def _open(self, location: ObjectLocation) -> tuple[ObjectStore, list[Backend]]:
        from lamina.cacheio.object_backend import ObjectBackend
        from lamina.objectstores.opening import open_store

        store = open_store(location.config)
        whole = self._guarded(ObjectBackend(store, location))
        backends = [whole, *whole.alternatives()]
        for backend in backends:
            self._opened.add(backend)
        return store, backends

    def _guarded(self, backend: Backend) -> GuardedBackend:
        """Called with the lock held."""
        location = backend.origin.location
        breaker = self._breakers.setdefault(location, Breaker())
        for each in backend.alternatives():  # imported caches have their origins
            self._breakers.setdefault(each.origin.location, breaker)
        rate = self._rates.setdefault(location, TransferRate())
        return GuardedBackend(backend, breaker, rate)
