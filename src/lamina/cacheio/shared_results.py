"""Combines the results of this store and of imported caches into one store for the solver."""

from __future__ import annotations

import threading
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.times import parse_time
from lamina.refs.result_store import RefResults
from lamina.stores.layers import Layer
from lamina.stores.origins import OriginKind
from lamina.system.threads import in_parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lamina.base.digest import Digest
    from lamina.base.oci import Descriptor
    from lamina.cacheio.imported import ImportedCache, ImportedLayer
    from lamina.refs.manager import RefManager
    from lamina.refs.ref import Ref
    from lamina.solver.key import CacheKey
    from lamina.stores.database import Database
    from lamina.stores.origins import Origin
    from lamina.system.cancel import Cancellation

_PROBES = 8


class SharedResults(RefResults):
    """Looks up results in this store, then in the imported caches.

    A match is recorded in this store at once, as snapshots whose layers are fetched when something
    runs on top of them.

    Args:
        caches: the caches that are imported by now.
        available: whether a layer's blob can still be fetched.
    """

    def __init__(
        self,
        database: Database,
        refs: RefManager,
        caches: Callable[[], Sequence[ImportedCache]],
        available: Callable[[Descriptor, Cancellation], bool],
        cancel: Cancellation,
    ) -> None:
        super().__init__(database, refs.snapshots)
        self._database = database
        self._refs = refs
        self._caches = caches
        self._available = available
        self._cancel = cancel
        self._lock = threading.Lock()
        self._present: set[Digest] = set()
        self._imported: dict[tuple[Digest, int], str] = {}  # locations of caches

    def has(self, key: CacheKey, output: int) -> bool:
        if super().has(key, output):
            return True
        if key.ephemeral:
            return False
        return self._import(key, output) and super().has(key, output)

    def has_seen(self, key: CacheKey, output: int) -> bool:
        return super().has_seen(key, output) or (
            not key.ephemeral and any(cache.has_seen(key, output, self) for cache in self._caches())
        )

    def imported_from(self, key: CacheKey, output: int) -> str:
        with self._lock:
            return self._imported.get((key.id, output), "")

    def load(self, key: CacheKey, output: int) -> Ref | None:
        found = super().load(key, output)
        if self._usable(found):
            return found
        # The caches of this build may have the same layers elsewhere.
        if self._import(key, output) and self._usable(found := super().load(key, output)):
            return found
        if found is not None and found.snapshot is not None:
            self._table.remove(found.snapshot)
        return None

    def _usable(self, found: Ref | None) -> bool:
        return found is None or found.snapshot is None or self.is_available(found.snapshot)

    def _import(self, key: CacheKey, output: int) -> bool:
        """Record the result in the first imported cache that has it."""
        for cache in self._caches():
            layers = cache.find(key, output, self)
            if layers is not None:
                with self._lock:
                    self._adopt(key, output, layers, cache.origin)
                    self._imported[key.id, output] = cache.origin.location
                return True
        return False

    def is_available(self, snapshot: int) -> bool:
        """Whether every layer of a snapshot is in the store or can be fetched."""
        packed = self._refs.packed(snapshot)
        if packed is None:
            return False
        missing = self._missing(packed)
        gone: list[Descriptor] = []

        def look(blob: Descriptor, cancel: Cancellation) -> None:
            if self._available(blob, cancel):
                self._present.add(blob.digest)
            else:
                gone.append(blob)

        if missing:
            in_parallel(missing, look, _PROBES, self._cancel)
        return not gone

    def snapshot_of(self, key: CacheKey, output: int) -> int | None:
        """The snapshot of a result, without using it. None if nothing is left of its files."""
        snapshot = super().snapshot_of(key, output)
        return None if snapshot is None or self._refs.lost(snapshot) else snapshot

    def contents(self, key: CacheKey, output: int) -> dict[int, set[Digest]]:
        """The contents of a result's inputs in the imported caches, as digests of records."""
        found: dict[int, set[Digest]] = {}
        for cache in self._caches():
            for index, digests in cache.contents(key, output, self).items():
                found.setdefault(index, set()).update(digests)
        return found

    def _missing(self, packed: Iterable[Sequence[Layer]]) -> list[Descriptor]:
        """The layers of snapshots that are not here, and that no image of this build refers to."""
        blobs, origins = self._refs.blobs, self._refs.origins
        found = []
        for layers in packed:
            forms = [layer for layer in layers if not layer.recipe]
            digests = [layer.descriptor.digest for layer in forms]
            if not forms or any(d in self._present or blobs.has(d) for d in digests):
                continue
            kinds = {origin.kind for digest in digests for origin in origins.of(digest)}
            if OriginKind.IMAGE not in kinds:
                found.append(forms[0].descriptor)
        return found

    def _adopt(
        self, key: CacheKey, output: int, layers: tuple[ImportedLayer, ...], origin: Origin
    ) -> None:
        snapshots = self._refs.snapshots
        snapshot: int | None = None
        chain = ""
        with self._database.write():
            for descriptor, diff_id, made, description in layers:
                joined = f"{chain} {diff_id}".encode()
                chain = f"sha256:{sha256(joined).hexdigest()}" if chain else str(diff_id)
                known = snapshots.by_chain(chain)
                layer = Layer(descriptor, diff_id)
                if known is None:
                    known = snapshots.add(
                        snapshot,
                        chain=chain,
                        description=description or f"imported from {origin.location}",
                        made=parse_time(made),
                    )
                    self._refs.layers.add(known, layer)
                elif not self._refs.blobs.has(descriptor.digest):
                    self._refs.layers.add(known, layer)
                snapshot = known
            for row in self._rows([key]):
                self._table.add(row, output, snapshot)
        self._refs.origins.add([layer.descriptor.digest for layer in layers], origin)
