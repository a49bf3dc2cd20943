"""Cache import and export of one build: imported on the first miss, exported at the end."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled, InvalidInput, LaminaError
from lamina.base.named_tuple import NamedTuple
from lamina.cacheio.shared_results import SharedResults
from lamina.engine.steps import step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractContextManager

    from lamina.base.events import EventSink
    from lamina.base.oci import Descriptor
    from lamina.cacheio.backend import Backend
    from lamina.cacheio.cache_loader import CacheLoader
    from lamina.cacheio.export import ExportedCache
    from lamina.cacheio.imported import ImportedCache
    from lamina.cacheio.options import BackendLocation, CacheExport, CacheImport, RefusedImport
    from lamina.cacheio.solved import SolvedGraph
    from lamina.engine.caching.backends import Backends
    from lamina.engine.caching.mount_caches import MountCaches
    from lamina.engine.registries import RegistryFinder
    from lamina.engine.steps import Step
    from lamina.engine.transfers.open_caches import OpenCaches
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

    `available` returns whether a layer's blob can still be fetched. `open_caches` are the backends
    in object stores that builds have opened.
    """

    store: Store
    refs: RefManager
    cache_mounts: CacheMountStore
    registry_of: RegistryFinder
    available: Callable[[Descriptor, Cancellation], bool]
    open_caches: OpenCaches


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
        self._opening = threading.Lock()
        self._backends: Backends | None = None
        self._spent: dict[CacheExport, float] = {}
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
        return self.mounts().restore(self._imports, mount_id, folder, cancel)

    def export_mounts(self, definition: Definition | None) -> None:
        """Export the build's cache mounts to the caches that include them."""
        for requested in self._options.exports:
            if requested.mounts and definition is not None:
                with self._within_timeout(requested) as cancel:
                    self.mounts().export(requested, definition, cancel)

    def mounts(self) -> MountCaches:
        """The transfers of cache mounts from and to these caches."""
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
        the same for each cache by its number among the options (`cache.manifest.0`); and
        `cache.report`, what was exported and why (`--cache-report`).
        """
        response: dict[str, str] = {}
        if not self._options.exports:
            return response
        import json

        from lamina.cacheio.export import export_cache
        from lamina.cacheio.options import InlineLocation

        reports: list[dict[str, object]] = []
        for number, requested in enumerate(self._options.exports):
            if isinstance(requested.location, InlineLocation):
                continue
            try:
                with self._step(f"exporting cache to {requested.location.title}") as shown:
                    try:
                        backend = self.backend(requested.location)
                        with self._within_timeout(requested) as cancel:
                            exported = export_cache(
                                graph, requested, backend, self._services.refs, shown, cancel
                            )
                        reports.append(_report(requested, exported))
                        target = exported.target
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
        if reports:
            response["cache.report"] = json.dumps({"exports": reports})
        return response

    @contextmanager
    def _within_timeout(self, requested: CacheExport) -> Iterator[Cancellation]:
        """Export something in the block. Cancels it when the time of the export is used up."""
        import time

        from lamina.cacheio.guarded import limited

        left = max(1.0, requested.timeout - self._spent.get(requested, 0.0))
        started = time.monotonic()
        try:
            with limited(self._cancel, left, "the export of the cache") as cancel:
                yield cancel
        finally:
            taken = time.monotonic() - started
            self._spent[requested] = self._spent.get(requested, 0.0) + taken

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
        # A backend that fails is not looked up any more: its layers could not be fetched.
        given_up = self._opened().is_given_up
        return [
            cache for cache in self._loader.caches(options) if not given_up(cache.origin.location)
        ]

    def close(self) -> None:
        """Close the backends."""
        if self._backends is not None:
            self._backends.close()

    def backend(self, location: BackendLocation) -> Backend:
        """Open a cache backend. Raises NotFound, InvalidInput, Unsupported."""
        return self._opened().of(location)

    def _opened(self) -> Backends:
        with self._opening:
            if self._backends is None:
                from lamina.engine.caching.backends import Backends

                services = self._services
                self._backends = Backends(services.registry_of, self._session, services.open_caches)
            return self._backends

    def _step(self, name: str) -> AbstractContextManager[Step]:
        return step(name, self._events)


def _report(requested: CacheExport, exported: ExportedCache) -> dict[str, object]:
    """A part of the report about caches, as JSON."""
    return {
        "cache": requested.location.label,
        "mode": requested.mode.value,
        "bytesPerSecond": round(exported.rate) or None,
        "steps": [decision.to_json() for decision in exported.decisions],
    }


def client_import(pairs: Mapping[str, str]) -> CacheImport | RefusedImport:
    """A cache import that a client of the daemon requests. Unknown attributes are ignored
    (BuildKit)."""
    from lamina.cacheio.object_options import OBJECT_KEYS, OBJECT_KINDS
    from lamina.cacheio.options import (
        IMPORT_KEYS,
        ClientLocation,
        FolderLocation,
        RefusedImport,
        make_import,
    )

    keys = IMPORT_KEYS
    if pairs.get("type") in OBJECT_KINDS:
        keys |= OBJECT_KEYS
    known = {key: value for key, value in pairs.items() if key in keys}
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
