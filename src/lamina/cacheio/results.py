"""Results of this store and of imported caches, as one store to the solver."""

from __future__ import annotations

import threading
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.times import parse_time
from lamina.refs.result_store import RefResults
from lamina.stores.layers import CACHE, FOLDER, LENT, Layer
from lamina.system.threads import in_parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.digest import Digest
    from lamina.cacheio.imported import ImportedCache, ImportedLayer
    from lamina.refs.pool import RefPool
    from lamina.refs.ref import Ref
    from lamina.solver.key import CacheKey
    from lamina.stores.database import Database
    from lamina.system.cancel import Cancellation

_PROBES = 8


class SharedResults(RefResults):
    """What is not remembered here may be in a cache that was imported.

    A match becomes rows of this store at once: states whose layers stay where they are until
    something runs on top of them.

    Args:
        caches: the caches that are imported by now.
        probe: whether a layer that lies in a cache can still be had from there.
    """

    def __init__(
        self,
        database: Database,
        pool: RefPool,
        caches: Callable[[], Sequence[ImportedCache]],
        probe: Callable[[Layer, Cancellation], bool],
        cancel: Cancellation,
    ) -> None:
        super().__init__(database, pool.snapshots)
        self._database = database
        self._pool = pool
        self._caches = caches
        self._probe = probe
        self._cancel = cancel
        self._lock = threading.Lock()
        self._present: set[Digest] = set()

    def has(self, key: CacheKey, output: int) -> bool:
        if super().has(key, output):
            return True
        if key.ephemeral:
            return False
        for cache in self._caches():
            layers = cache.find(key, output, self)
            if layers is not None:
                with self._lock:
                    self._adopt(key, output, layers, cache.origin)
                return super().has(key, output)
        return False

    def knows(self, key: CacheKey, output: int) -> bool:
        return super().knows(key, output) or (
            not key.ephemeral and any(cache.knows(key, output, self) for cache in self._caches())
        )

    def load(self, key: CacheKey, output: int) -> Ref | None:
        found = super().load(key, output)
        if found is None or found.snapshot is None or self.can_be_had(found.snapshot):
            return found
        self._table.forget(found.snapshot)
        return None

    def can_be_had(self, snapshot: int) -> bool:
        """Whether every layer of a state is here, or still where it was imported from."""
        missing = self._missing(snapshot)
        gone: list[Layer] = []

        def look(layer: Layer, cancel: Cancellation) -> None:
            if self._probe(layer, cancel):
                self._present.add(layer.descriptor.digest)
            else:
                gone.append(layer)

        if missing:
            in_parallel(missing, look, _PROBES, self._cancel)
        return not gone

    def contents(self, key: CacheKey, output: int) -> dict[int, set[Digest]]:
        """What imported caches know of the contents of a result's inputs, as records' digests."""
        found: dict[int, set[Digest]] = {}
        for cache in self._caches():
            for index, digests in cache.contents(key, output, self).items():
                found.setdefault(index, set()).update(digests)
        return found

    def _missing(self, snapshot: int) -> list[Layer]:
        """The layers of a state that are nowhere but in a cache."""
        blobs = self._pool.blobs
        found = []
        for state in self._pool.snapshots.stack(snapshot):
            if state.directory:
                continue
            forms = self._pool.layers.of(state.id)
            travelled = [layer for layer in forms if layer.origin.startswith((CACHE, FOLDER, LENT))]
            if travelled and len(travelled) == len(forms):
                here = any(
                    layer.descriptor.digest in self._present or blobs.has(layer.descriptor.digest)
                    for layer in forms
                )
                if not here:
                    found.append(travelled[0])
        return found

    def _adopt(
        self, key: CacheKey, output: int, layers: tuple[ImportedLayer, ...], origin: str
    ) -> None:
        snapshots = self._pool.snapshots
        snapshot: int | None = None
        chain = ""
        with self._database.write():
            for descriptor, diff_id, made, description in layers:
                joined = f"{chain} {diff_id}".encode()
                chain = f"sha256:{sha256(joined).hexdigest()}" if chain else str(diff_id)
                known = snapshots.by_chain(chain)
                layer = Layer(descriptor, diff_id, "", origin)
                if known is None:
                    known = snapshots.add(
                        snapshot,
                        chain=chain,
                        description=description or f"imported from {origin.partition(':')[2]}",
                        made=parse_time(made),
                    )
                    self._pool.layers.add(known, layer)
                elif not self._pool.blobs.has(descriptor.digest):
                    self._pool.layers.add(known, layer)
                snapshot = known
            for row in self._rows([key]):
                self._table.adopt(row, output, snapshot)
