"""`lamina cache`: list cache mounts, and import and export them without a build."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import NotFound
from lamina.base.named_tuple import NamedTuple
from lamina.cacheio.mount_index import export_name
from lamina.cacheio.options import CacheImport, Mounts
from lamina.engine.caching.build_caches import BuildCacheOptions, BuildCaches
from lamina.engine.caching.mount_caches import MountCaches
from lamina.stores.origins import parse_origin
from lamina.system.tree_size import tree_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.base.events import EventSink
    from lamina.cacheio.backend import Backend
    from lamina.cacheio.mount_export import Sent
    from lamina.cacheio.options import StoredLocation
    from lamina.engine.caching.build_caches import CacheServices
    from lamina.system.cancel import Cancellation


class MountListing(NamedTuple):
    """A cache mount in the list. `size` is in bytes on disk, `came_from` "" unless it was
    imported."""

    name: str
    size: int
    created: float
    used: float
    uses: int
    came_from: str


def list_mounts(services: CacheServices) -> list[MountListing]:
    """All cache mounts of the store, the most recently used first."""
    known = services.cache_mounts.summaries()
    names = MountCaches.display_names([mount.id for mount in known])
    return [
        MountListing(
            names[mount.id],
            sum(map(tree_size, mount.folders)),
            mount.created,
            mount.used,
            mount.uses,
            origin.location if (origin := parse_origin(mount.came_from)) else mount.came_from,
        )
        for mount in known
    ]


def export_mounts(
    services: CacheServices,
    names: Sequence[str],
    location: StoredLocation,
    events: EventSink,
    cancel: Cancellation,
) -> list[tuple[str, Sent]]:
    """Update a cache's copies of mounts, of all mounts if `names` is empty.

    Raises NotFound (no such mount), PermissionDenied, Unavailable, Corrupt, Exhausted.
    """
    with _opened(services, location, events, cancel) as (mounts, backend):
        wanted = list(map(export_name, names)) or [m.name for m in list_mounts(services)]
        _must_exist(services, wanted)
        return mounts.send(dict.fromkeys(wanted), backend, must=True, cancel=cancel)


def import_mounts(
    services: CacheServices,
    names: Sequence[str],
    location: StoredLocation,
    events: EventSink,
    cancel: Cancellation,
) -> None:
    """Replace the local mounts by a cache's copies.

    Raises NotFound (the cache has no such mount), PermissionDenied, Unavailable, Corrupt.
    """
    with _opened(services, location, events, cancel) as (mounts, backend):
        for name in names:
            if not mounts.fetch(export_name(name), backend, cancel):
                raise NotFound(
                    f"{backend.label} has no cache mount {name}",
                    hint="its name is the id of the mount in the Dockerfile, or its path",
                )


def remove_mounts(services: CacheServices, names: Sequence[str], cancel: Cancellation) -> list[str]:
    """Remove mounts, all of them if `names` is empty. Waits for steps that use them.

    Returns their names. Raises NotFound before any is removed.
    """
    with services.store.shared():
        known = [mount.id for mount in services.cache_mounts.summaries()]
        display = MountCaches.display_names(known)
        wanted = {export_name(name) for name in names} or set(display.values())
        _must_exist(services, wanted)
        for mount_id in known:
            if display[mount_id] in wanted:
                services.cache_mounts.remove(mount_id, cancel)
    return sorted(wanted)


def _must_exist(services: CacheServices, names: Sequence[str] | set[str]) -> None:
    known = MountCaches.display_names([m.id for m in services.cache_mounts.summaries()]).values()
    for name in names:
        if name not in known:
            raise NotFound(f"there is no cache mount {name}", hint="`lamina cache ls` lists them")


@contextmanager
def _opened(
    services: CacheServices,
    location: StoredLocation,
    events: EventSink,
    cancel: Cancellation,
) -> Iterator[tuple[MountCaches, Backend]]:
    options = BuildCacheOptions((CacheImport(location, Mounts(True)),))
    caches = BuildCaches(services, None, options, events, cancel)
    with services.store.shared(), closing(caches):
        yield caches.mounts(), caches.backend(location)
