"""What the store's parts take, and removing what nothing needs."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from typing import TYPE_CHECKING

from lamina.base.digest import Digest
from lamina.base.oci import Index, Manifest, parse_manifest
from lamina.client.contract import CacheRecord, PruneOutcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.client.contract import PruneRequest, UsageFilter
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation


def records(store: Store, filters: UsageFilter) -> list[CacheRecord]:
    """Everything that is kept to build faster next time, as records, those that match."""
    return [record for record in _every(store) if _matches(record, filters)]


def prune(store: Store, request: PruneRequest, cancel: Cancellation) -> PruneOutcome:
    """Remove matching records that nothing uses, oldest first, down to what is to be kept.

    Waits for running builds: they hold the store's shared lock.
    """
    with store.exclusive():
        every = _every(store)
        total = sum(record.size for record in every)
        limit = _limit(store, request, total)
        removed: list[CacheRecord] = []
        freed = 0
        for record in _from_the_top(every, request.filter):
            cancel.check()
            if limit is not None and total - freed <= limit:
                break
            _remove(store, record)
            removed.append(record)
            freed += record.size
        freed += _sweep(store, everything=request.all)
    return PruneOutcome(tuple(removed), freed)


def _from_the_top(every: Sequence[CacheRecord], filters: UsageFilter) -> Iterator[CacheRecord]:
    """Matching records with nothing on top of them, the longest unused first.

    What one of them stood on follows once it was taken.
    """
    import heapq

    by_id = {(record.type, record.id): record for record in every}
    above = Counter((record.type, parent) for record in every for parent in record.parents)
    free = [
        (record.last_used or record.created, key)
        for key, record in by_id.items()
        if not above[key] and _matches(record, filters)
    ]
    heapq.heapify(free)
    while free:
        record = by_id[heapq.heappop(free)[1]]
        yield record
        for parent in record.parents:
            key = (record.type, parent)
            above[key] -= 1
            below = by_id.get(key)
            if below is not None and not above[key] and _matches(below, filters):
                heapq.heappush(free, (below.last_used or below.created, key))


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


def _repositories(store: Store) -> list[CacheRecord]:
    """What was fetched of git repositories."""
    found = []
    folder = store.path("git")
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            used = os.stat(path + ".lock").st_mtime
            created = os.stat(os.path.join(path, "description")).st_mtime
            found.append(
                CacheRecord(
                    id=name,
                    type="source.git.checkout",
                    size=_tree_size(path),
                    created=created,
                    last_used=used,
                    description="shared git repository",
                )
            )
    return found


def _downloads(store: Store) -> list[CacheRecord]:
    """What ADD has downloaded: a record of it, its bytes, a lock."""
    folder = store.path("http")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    found = []
    for name in names:
        if "-" in name or "." in name:
            continue
        status = os.stat(os.path.join(folder, name))
        data = [os.path.join(folder, other) for other in names if other.startswith(f"{name}-")]
        found.append(
            CacheRecord(
                id=name,
                type="source.http",
                size=sum(os.path.getsize(path) for path in data),
                created=status.st_mtime,
                last_used=os.stat(os.path.join(folder, f"{name}.lock")).st_mtime,
                description="downloaded file",
            )
        )
    return found


def _every(store: Store) -> list[CacheRecord]:
    return [*_snapshots(store), *_cache_mounts(store), *_repositories(store), *_downloads(store)]


def _remove(store: Store, record: CacheRecord) -> None:
    if record.type == "exec.cachemount":
        with store.database.write() as connection:
            connection.execute("DELETE FROM cache_mounts WHERE directory = ?", (record.id,))
        shutil.rmtree(store.path("mounts", record.id), ignore_errors=True)
        return
    if record.type == "source.http":
        folder = store.path("http")
        for name in os.listdir(folder):
            if name == record.id or name.startswith((f"{record.id}-", f"{record.id}.")):
                os.unlink(os.path.join(folder, name))
        return
    if record.type == "source.git.checkout":
        shutil.rmtree(store.path("git", record.id), ignore_errors=True)
        return
    with store.database.write() as connection:
        connection.execute(
            "DELETE FROM aliases WHERE canonical IN (SELECT key FROM results WHERE snapshot = ?)",
            (record.id,),
        )
        connection.execute("DELETE FROM results WHERE snapshot = ?", (record.id,))
        connection.execute("DELETE FROM snapshots WHERE id = ?", (record.id,))


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
