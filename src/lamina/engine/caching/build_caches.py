"""Cache import and export of one build: imported on the first miss, exported at the end."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled, InvalidInput, LaminaError, NotFound
from lamina.base.named_tuple import NamedTuple
from lamina.cacheio.shared_results import SharedResults
from lamina.engine.steps import step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager

    from lamina.base.events import EventSink
    from lamina.base.oci import Descriptor
    from lamina.cacheio.backend import Backend
    from lamina.cacheio.cache_loader import CacheLoader
    from lamina.cacheio.imported import ImportedCache
    from lamina.cacheio.options import (
        CacheExport,
        CacheImport,
        ClientLocation,
        FolderLocation,
        RefusedImport,
        RegistryLocation,
    )
    from lamina.cacheio.solved import SolvedGraph
    from lamina.engine.caching.mount_caches import MountCaches
    from lamina.engine.registries import RegistryFinder
    from lamina.engine.steps import Step
    from lamina.llb.op import Definition
    from lamina.refs.manager import RefManager
    from lamina.session.contract import Session
    from lamina.stores.cache_mounts import CacheMountStore, MountOrigin
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation


class BuildCacheOptions(NamedTuple):
    """The parsed `--cache-from` and `--cache-to`."""

    imports: tuple[CacheImport | RefusedImport, ...] = ()
    exports: tuple[CacheExport, ...] = ()


class CacheServices(NamedTuple):
    """The parts of an engine that caches use.

    `available` returns whether a layer's blob can still be fetched.
    """

    store: Store
    refs: RefManager
    cache_mounts: CacheMountStore
    registry_of: RegistryFinder
    available: Callable[[Descriptor, Cancellation], bool]


class BuildCaches:
    """The imported and exported caches of one build."""

    def __init__(
        self,
        services: CacheServices,
        session: Session | None,
        options: BuildCacheOptions,
        events: EventSink,
        cancel: Cancellation,
    ) -> None:
        self._services = services
        self._session = session
        self._options = options
        self._events = events
        self._cancel = cancel
        self._lock = threading.Lock()
        self.trusted: frozenset[str] = frozenset()
        self._imports: list[CacheImport] = []
        self._refused: set[RefusedImport] = set()
        self._loader: CacheLoader | None = None
        self.add(options.imports)

    @property
    def exported(self) -> bool:
        """Whether a cache is exported that needs the keys of the graph."""
        return bool(self._options.exports)

    @property
    def inline(self) -> bool:
        """Whether images contain their inline cache."""
        return any(requested.inline for requested in self._options.exports)

    def results(self) -> SharedResults:
        """The results of this store and of the imported caches."""
        services = self._services
        return SharedResults(
            services.store.database, services.refs, self._imported, services.available, self._cancel
        )

    @property
    def repositories(self) -> AbstractSet[str]:
        """The repositories of the imported caches, as `domain/path`."""
        from lamina.cacheio.options import RegistryLocation

        with self._lock:
            locations = [requested.location for requested in self._imports]
        return {
            location.reference.name
            for location in locations
            if isinstance(location, RegistryLocation)
        }

    def add(self, imports: Sequence[CacheImport | RefusedImport]) -> None:
        """Import further caches from now on, as frontends may name some. Warns about a refused
        one."""
        if not imports:
            return
        from lamina.cacheio.options import RefusedImport, RegistryLocation

        with self._lock:
            for requested in imports:
                if isinstance(requested, RefusedImport):
                    if requested not in self._refused:
                        self._refused.add(requested)
                        self._refuse(requested)
                elif requested not in self._imports:
                    if (
                        isinstance(requested.location, RegistryLocation)
                        and requested.location.insecure
                    ):
                        self.trusted |= {requested.location.reference.domain}
                    self._imports.append(requested)

    def _refuse(self, requested: RefusedImport) -> None:
        with (
            suppress(InvalidInput),
            self._step(f"importing cache manifest from {requested.name}") as shown,
        ):
            shown.warn(f"the cache {requested.name} is not used: {requested.reason}")
            raise InvalidInput(requested.reason)

    def restore(self, mount_id: str, folder: str, cancel: Cancellation) -> MountOrigin | None:
        """Fill a new cache mount from an imported cache."""
        return self._mounts().restore(self._imports, mount_id, folder, cancel)

    def export_mounts(self, definition: Definition | None) -> None:
        """Export the build's cache mounts to the caches that include them."""
        for requested in self._options.exports:
            if requested.mounts and definition is not None:
                self._mounts().export(requested, definition, self._cancel)

    def _mounts(self) -> MountCaches:
        from lamina.engine.caching.mount_caches import MountCaches

        services = self._services
        return MountCaches(
            services.cache_mounts,
            services.store.blobs,
            self.backend,
            self._events,
            services.refs.metadata,
        )

    def export(self, graph: SolvedGraph) -> dict[str, str]:
        """Export every cache. A failed export is a warning, unless the cache is required.

        Returns the response for clients of the daemon: `cache.manifest`, a descriptor as JSON, and
        the same for each cache by its number among the options (`cache.manifest.0`).
        """
        response: dict[str, str] = {}
        if not self._options.exports:
            return response
        import json

        from lamina.cacheio.export import export_cache
        from lamina.cacheio.options import InlineLocation, RegistryLocation

        for number, requested in enumerate(self._options.exports):
            if isinstance(requested.location, InlineLocation):
                continue
            registry = isinstance(requested.location, RegistryLocation)
            name = "registry" if registry else "client directory"
            try:
                with self._step(f"exporting cache to {name}") as shown:
                    try:
                        backend = self.backend(requested.location)
                        target = export_cache(
                            graph, requested, backend, self._services.refs, shown, self._cancel
                        )
                        self._reset(requested, backend)
                        if target is not None:
                            document = json.dumps(target.to_json())
                            response["cache.manifest"] = document
                            if len(self._options.exports) > 1:
                                response[f"cache.manifest.{number}"] = document
                    except Cancelled:
                        raise
                    except LaminaError as error:
                        if not requested.must_succeed:
                            shown.warn(f"the cache was not written: {error.reason}")
                        raise
            except Cancelled:
                raise
            except LaminaError:
                if requested.must_succeed:
                    raise
        return response

    def _reset(self, requested: CacheExport, backend: Backend) -> None:
        from lamina.cacheio.backend import FolderBackend

        if requested.reset and isinstance(backend, FolderBackend):
            backend.keep_only_named()

    def _imported(self) -> Sequence[ImportedCache]:
        with self._lock:
            options = tuple(self._imports)
            if not options:
                return ()
            if self._loader is None:
                from lamina.cacheio.cache_loader import CacheLoader

                self._loader = CacheLoader(
                    lambda requested: self.backend(requested.location), self._step, self._cancel
                )
        return self._loader.caches(options)

    def backend(self, location: RegistryLocation | FolderLocation | ClientLocation) -> Backend:
        """Open a cache backend."""
        from lamina.cacheio.backend import FolderBackend, RegistryBackend
        from lamina.cacheio.options import ClientLocation, FolderLocation

        if isinstance(location, ClientLocation):
            from lamina.cacheio.client_backend import ClientBackend

            if self._session is None:
                raise NotFound(f"{location.store}: the client does not provide it")
            return ClientBackend(self._session.content(location.store), location)
        if isinstance(location, FolderLocation):
            return FolderBackend(location)
        domain = location.reference.domain
        client = self._services.registry_of(domain, insecure=location.insecure)
        return RegistryBackend(client, location.reference)

    def _step(self, name: str) -> AbstractContextManager[Step]:
        return step(name, self._events)


def client_import(pairs: Mapping[str, str]) -> CacheImport | RefusedImport:
    """A cache import that a client of the daemon requests. Unknown attributes are ignored
    (BuildKit)."""
    from lamina.cacheio.options import (
        IMPORT_KEYS,
        ClientLocation,
        FolderLocation,
        RefusedImport,
        make_import,
    )

    known = {key: value for key, value in pairs.items() if key in IMPORT_KEYS}
    try:
        requested = make_import(known)
    except LaminaError as error:
        name = known.get("ref") or known.get("src") or known.get("type", "")
        return RefusedImport(name, error.reason)
    if isinstance(requested.location, FolderLocation):
        # A directory of the client, which it provides as a content store with this name.
        return requested._replace(
            location=ClientLocation(f"local:{pairs['src']}", requested.location.digest)
        )
    return requested
