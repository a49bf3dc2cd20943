"""The caches of one build that travel: read on the first miss, written at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lamina.base.errors import Cancelled, LaminaError
from lamina.cacheio.options import FolderPlace, InlinePlace, RegistryPlace
from lamina.cacheio.results import SharedResults
from lamina.engine.mount_caches import MountCaches
from lamina.engine.steps import step
from lamina.stores.layers import FOLDER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from lamina.base.events import EventSink
    from lamina.cacheio.backend import Backend
    from lamina.cacheio.export import SolvedGraph
    from lamina.cacheio.options import CacheExport, CacheImport
    from lamina.engine.engine import Engine
    from lamina.engine.steps import Step
    from lamina.llb.op import Definition
    from lamina.stores.cache_mounts import MountOrigin
    from lamina.stores.layers import Layer
    from lamina.system.cancel import Cancellation


class CacheWishes(NamedTuple):
    """`--cache-from` and `--cache-to`, read."""

    imports: tuple[CacheImport, ...] = ()
    exports: tuple[CacheExport, ...] = ()


class BuildCaches:
    """What `wishes` ask for, during one build."""

    def __init__(
        self, engine: Engine, wishes: CacheWishes, events: EventSink, cancel: Cancellation
    ) -> None:
        self._engine = engine
        self._wishes = wishes
        self._events = events
        self._cancel = cancel
        self._mounts = MountCaches(engine.cache_mounts, engine.store.blobs, self.backend, events)
        for wish in wishes.imports:
            if isinstance(wish.place, RegistryPlace) and wish.place.insecure:
                engine.trust(wish.place.reference.domain)

    @property
    def exported(self) -> bool:
        """Whether anything is to be written that needs the graph's keys."""
        return bool(self._wishes.exports)

    @property
    def inline(self) -> bool:
        """Whether images are to carry their own cache."""
        return any(isinstance(wish.place, InlinePlace) for wish in self._wishes.exports)

    def results(self) -> SharedResults:
        """This store's results, and those of the imported caches."""
        loader = None
        if self._wishes.imports:
            from lamina.cacheio.load import CacheLoader

            loader = CacheLoader(self._import_backends, self._step, self._cancel)
        engine = self._engine
        return SharedResults(engine.store.database, engine.pool, loader, self._probe, self._cancel)

    def restore(self, mount_id: str, folder: str, cancel: Cancellation) -> MountOrigin | None:
        """Fill a new cache mount with what an imported cache has of it."""
        return self._mounts.restore(self._wishes.imports, mount_id, folder, cancel)

    def export_mounts(self, definition: Definition | None) -> None:
        """Send the build's cache mounts to the caches that want them."""
        for wish in self._wishes.exports:
            if wish.mounts and definition is not None:
                self._mounts.export(wish, definition, self._cancel)

    def export(self, graph: SolvedGraph) -> None:
        """Write every cache. One that cannot be written is a warning, unless it must be."""
        from lamina.cacheio.export import export_cache

        for wish in self._wishes.exports:
            if isinstance(wish.place, InlinePlace):
                continue
            registry = isinstance(wish.place, RegistryPlace)
            name = "registry" if registry else "client directory"
            try:
                with self._step(f"exporting cache to {name}") as shown:
                    try:
                        backend = self.backend(wish.place)
                        export_cache(graph, wish, backend, self._engine.pool, shown, self._cancel)
                        self._reset(wish, backend)
                    except Cancelled:
                        raise
                    except LaminaError as error:
                        if not wish.must_succeed:
                            shown.warn(f"the cache was not written: {error.reason}")
                        raise
            except Cancelled:
                raise
            except LaminaError:
                if wish.must_succeed:
                    raise

    def _reset(self, wish: CacheExport, backend: Backend) -> None:
        from lamina.cacheio.backend import FolderBackend

        if wish.reset and isinstance(backend, FolderBackend):
            backend.keep_only_named()

    def _import_backends(self) -> Sequence[Backend]:
        return [self.backend(wish.place) for wish in self._wishes.imports]

    def backend(self, place: RegistryPlace | FolderPlace) -> Backend:
        """Open a place that keeps caches."""
        from lamina.cacheio.backend import FolderBackend, RegistryBackend

        if isinstance(place, FolderPlace):
            return FolderBackend(place)
        domain = place.reference.domain
        client = self._engine.registry_of(domain, insecure=place.insecure)
        return RegistryBackend(client, place.reference)

    def _probe(self, layer: Layer, cancel: Cancellation) -> bool:
        """Whether a layer can still be had; one of a folder is brought here at once."""
        try:
            if layer.origin.startswith(FOLDER):
                self._engine.pool.bring([layer.descriptor], cancel)
                return True
            from lamina.base.reference import parse_reference
            from lamina.registry.blob_upload import has_blob

            reference = parse_reference(layer.home)
            return has_blob(self._engine.registry(), reference, layer.descriptor, cancel, "pull")
        except Cancelled:
            raise
        except LaminaError:
            return False

    def _step(self, name: str) -> AbstractContextManager[Step]:
        return step(name, self._events)
