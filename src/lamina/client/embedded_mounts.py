"""The cache mounts of the local store, for `lamina.client.embedded`."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from lamina.client.cache_attributes import cache_pairs
from lamina.client.contract import MountSummary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.base.events import EventSink
    from lamina.client.contract import CacheSpec
    from lamina.engine.engine import Engine
    from lamina.system.cancel import Cancellation


class EmbeddedMounts:
    """Implements the methods of `lamina.client.contract.LocalStore` on cache mounts."""

    @property
    @abstractmethod
    def engine(self) -> Engine:
        """The engine of the store."""

    def cache_mounts(self) -> Sequence[MountSummary]:
        from lamina.engine.caching.mount_commands import list_mounts

        return [MountSummary(*mount) for mount in list_mounts(self.engine.services.caches)]

    def export_cache_mounts(
        self, names: Sequence[str], cache: CacheSpec, events: EventSink, cancel: Cancellation
    ) -> Mapping[str, int]:
        from lamina.cacheio.options import make_location
        from lamina.engine.caching.mount_commands import export_mounts

        place = make_location("--to", "dest", cache_pairs(cache))
        done = export_mounts(self.engine.services.caches, names, place, events, cancel)
        return {name: sent.new for name, sent in done}

    def import_cache_mounts(
        self, names: Sequence[str], cache: CacheSpec, events: EventSink, cancel: Cancellation
    ) -> None:
        from lamina.cacheio.options import make_location
        from lamina.engine.caching.mount_commands import import_mounts

        place = make_location("--from", "src", cache_pairs(cache))
        import_mounts(self.engine.services.caches, names, place, events, cancel)

    def remove_cache_mounts(self, names: Sequence[str], cancel: Cancellation) -> Sequence[str]:
        from lamina.engine.caching.mount_commands import remove_mounts

        return remove_mounts(self.engine.services.caches, names, cancel)
