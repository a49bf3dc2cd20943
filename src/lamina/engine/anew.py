"""Steps that are told to ignore the cache begin with empty cache mounts, as in BuildKit."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lamina.llb.codec import decode_op
from lamina.llb.op import NO_INPUT, MountType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.solver.contract import Graph
    from lamina.stores.cache_mounts import CacheMountStore
    from lamina.system.cancel import Cancellation


class FreshMounts:
    """What one build has emptied: once, so that its later steps find what earlier ones kept."""

    def __init__(self, mounts: CacheMountStore, cancel: Cancellation) -> None:
        self._mounts = mounts
        self._cancel = cancel
        self._lock = threading.Lock()
        self._done: set[str] = set()

    def begin(self, graph: Graph) -> None:
        """Remove the cache mounts of the steps to run anew. Call before the graph is solved."""
        with self._lock:
            for name, based in _ignored(graph):
                if name in self._done:
                    continue
                self._done.add(name)
                found = [name]
                if based:  # one for each state that it was begun from
                    found += [n for n in self._mounts.names() if n.startswith(f"{name}:")]
                for mount_id in found:
                    self._mounts.remove(mount_id, self._cancel)


def _ignored(graph: Graph) -> Iterator[tuple[str, bool]]:
    """The names of cache mounts of steps that ignore the cache; whether they have an input."""
    for spec in graph.vertices:
        if not spec.ignore_cache:
            continue
        op = decode_op(spec.data)
        for mount in op.exec.mounts if op.exec is not None else ():
            if mount.mount_type is MountType.CACHE and mount.cache is not None:
                yield mount.cache.id or mount.dest, mount.input != NO_INPUT
