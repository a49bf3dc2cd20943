"""What the store's parts take, and removing what nothing needs."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING

from lamina.base.digest import Digest
from lamina.base.oci import Index, Manifest, parse_manifest
from lamina.client.contract import CacheRecord, PruneOutcome

if TYPE_CHECKING:
    from lamina.client.contract import PruneRequest, UsageFilter
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation


def records(store: Store, filters: UsageFilter) -> list[CacheRecord]:
    """Snapshots and cache mounts as records, those that match."""
    found = [*_snapshots(store), *_cache_mounts(store)]
    return [record for record in found if _matches(record, filters)]


def prune(store: Store, request: PruneRequest, cancel: Cancellation) -> PruneOutcome:
    """Remove matching records that nothing uses, oldest first, down to what is to be kept.

    Waits for running builds: they hold the store's shared lock.
    """
    with store.exclusive():
        every = [*_snapshots(store), *_cache_mounts(store)]
        total = sum(record.size for record in every)
        limit = _limit(store, request, total)
        removed: list[CacheRecord] = []
        freed = 0
        again = True
        while again:
            again = False
            for record in sorted(_removable(store), key=lambda r: r.last_used or r.created):
                cancel.check()
                if not _matches(record, request.filter):
                    continue
                if limit is not None and total - freed <= limit:
                    break
                _remove(store, record)
                removed.append(record)
                freed += record.size
                again = True
        freed += _sweep(store, everything=request.all)
    return PruneOutcome(tuple(removed), freed)


def _limit(store: Store, request: PruneRequest, total: int) -> int | None:
    """The bytes of cache that may stay, None for none at all."""
    limits = [size for size in (request.keep, request.max_used) if size]
    if request.min_free:
        status = os.statvfs(store.root)
        lacking = request.min_free - status.f_bavail * status.f_frsize
        if lacking <= 0:
            return total
        limits.append(max(0, total - lacking))
    return max(limits) if limits else None


def _snapshots(store: Store) -> list[CacheRecord]:
    rows = store.database.rows(
        "SELECT s.id, s.parent, s.directory, s.description, s.created, s.used, s.uses,"
        " (SELECT COALESCE(MAX(l.size), 0) FROM layers l WHERE l.snapshot = s.id) FROM snapshots s"
    )
    seen: set[str] = set()
    found = []
    for snapshot, parent, directory, description, created, used, uses, packed in rows:
        size = 0
        if directory and directory not in seen:
            seen.add(directory)
            size = _tree_size(store.path("snapshots", directory))
        found.append(
            CacheRecord(
                id=str(snapshot),
                type="regular",
                size=size or packed,
                created=created,
                last_used=used,
                usage_count=uses,
                description=description,
                parents=(str(parent),) if parent is not None else (),
            )
        )
    return found


def _cache_mounts(store: Store) -> list[CacheRecord]:
    rows = store.database.rows("SELECT id, directory, created, used, uses FROM cache_mounts")
    return [
        CacheRecord(
            id=directory,
            type="exec.cachemount",
            size=_tree_size(store.path("mounts", directory)),
            created=created,
            last_used=used,
            usage_count=uses,
            description=f"cached mount {mount_id}",
        )
        for mount_id, directory, created, used, uses in rows
    ]


def _removable(store: Store) -> list[CacheRecord]:
    """Records without anything on top of them."""
    parents = {row[0] for row in store.database.rows("SELECT parent FROM snapshots")}
    return [
        record
        for record in (*_snapshots(store), *_cache_mounts(store))
        if record.type != "regular" or int(record.id) not in parents
    ]


def _remove(store: Store, record: CacheRecord) -> None:
    if record.type == "exec.cachemount":
        with store.database.write() as connection:
            connection.execute("DELETE FROM cache_mounts WHERE directory = ?", (record.id,))
        shutil.rmtree(store.path("mounts", record.id), ignore_errors=True)
        return
    with store.database.write() as connection:
        connection.execute(
            "DELETE FROM aliases WHERE canonical IN (SELECT key FROM results WHERE snapshot = ?)",
            (record.id,),
        )
        connection.execute("DELETE FROM results WHERE snapshot = ?", (record.id,))
        connection.execute("DELETE FROM snapshots WHERE id = ?", (record.id,))
    _sweep_directories(store)


def _sweep_directories(store: Store) -> None:
    """Remove directories that no state refers to."""
    known = {
        row[0]
        for row in store.database.rows("SELECT directory FROM snapshots WHERE directory NOT NULL")
    }
    for name in os.listdir(store.path("snapshots")):
        if not name.startswith(".") and name not in known:
            shutil.rmtree(store.path("snapshots", name), ignore_errors=True)


def _sweep(store: Store, *, everything: bool) -> int:
    """Remove blobs that neither an image nor a state refers to; returns their bytes."""
    _sweep_directories(store)
    needed: set[str] = {row[0] for row in store.database.rows("SELECT digest FROM layers WHERE 1")}
    images = [Digest(row[0]) for row in store.database.rows("SELECT digest FROM images")]
    pulls = [Digest(row[0]) for row in store.database.rows("SELECT digest FROM pulls")]
    for digest in (*images, *(() if everything else pulls)):
        needed.update(_reachable(store, digest))
    freed = 0
    for digest in list(store.blobs.digests()):
        if digest not in needed:
            freed += store.blobs.size(digest)
            store.blobs.remove(digest)
    return freed


def _reachable(store: Store, digest: Digest) -> set[str]:
    if not store.blobs.has(digest):
        return set()
    found = {str(digest)}
    document = parse_manifest(store.blobs.read(digest))
    if isinstance(document, Index):
        for entry in document.manifests:
            found |= _reachable(store, entry.digest)
    elif isinstance(document, Manifest):
        found.add(document.config.digest)
        found.update(layer.digest for layer in document.layers)
    return found


def _tree_size(path: str) -> int:
    total = 0
    stack = [path]
    while stack:
        try:
            with os.scandir(stack.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(entry.path)
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return total


def _matches(record: CacheRecord, filters: UsageFilter) -> bool:
    if filters.ids and record.id not in filters.ids:
        return False
    if filters.types and record.type not in filters.types:
        return False
    if filters.description and filters.description not in record.description:
        return False
    if filters.unused_for:
        last = record.last_used or record.created
        if time.time() - last < filters.unused_for:
            return False
    if filters.reclaimable is not None and record.reclaimable != filters.reclaimable:
        return False
    return filters.shared is None or record.shared == filters.shared
