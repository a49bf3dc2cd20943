"""Removes unused data while builds run.

Snapshots are removed in transactions that see every lease (`lamina.stores.leases`), and cache
mounts under their own locks. So running builds keep what they use, and nothing waits. What builds
use without a lease, mainly blobs, is only removed while no process runs a build on the store. If
one does, it stays until the next time.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.base.digest import Digest
from lamina.base.errors import Unavailable
from lamina.base.named_tuple import NamedTuple
from lamina.engine.maintenance.disk_usage import (
    CACHE_MOUNT,
    GIT,
    IMAGE,
    LOCAL,
    STATE,
    cache_records,
    mirrors_of,
    unused,
)
from lamina.records.evidence import EvidenceTable
from lamina.records.recovery import recover
from lamina.records.table import RecordTable
from lamina.stores.contents import ContentTable
from lamina.stores.images import ImageTable
from lamina.stores.reachable import reachable
from lamina.stores.results import ResultTable
from lamina.system.removal import discard_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lamina.base.usage import CacheRecord
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation


class PruneRule(NamedTuple):
    """Which records to remove, and how much of the cache to keep (bytes; all 0: keep nothing).

    Matching records are removed, the least recently used first, until at most `max_used` bytes are
    left and `min_free` bytes of the disk are free, but never below `reserved` bytes. `all` includes
    the snapshots of images in the store (not the images) and, without a limit, the files of failed
    steps that records keep.
    """

    matches: Callable[[CacheRecord], bool]
    all: bool = False
    reserved: int = 0
    max_used: int = 0
    min_free: int = 0

    @property
    def unlimited(self) -> bool:
        """Whether nothing is kept."""
        return not (self.reserved or self.max_used or self.min_free)


def prune(
    store: Store,
    rules: Iterable[PruneRule],
    cancel: Cancellation,
    removed: Callable[[CacheRecord], object],
) -> int:
    """Apply the rules in order. `removed` is called with every record. Returns the bytes freed."""
    with store.making_room():
        return _prune(store, rules, cancel, removed)


def _prune(
    store: Store,
    rules: Iterable[PruneRule],
    cancel: Cancellation,
    removed: Callable[[CacheRecord], object],
) -> int:
    rules = list(rules)
    if any(rule.all and rule.unlimited for rule in rules):
        EvidenceTable(store).clear()
    every = cache_records(store)
    freed = 0
    everything = False
    for rule in rules:
        everything = everything or rule.all
        total = sum(record.size for record in every)
        limit = size_limit(store, rule, total)
        gone: set[tuple[str, str]] = set()
        queue = _Queue(every, rule.matches)
        while (record := queue.next()) is not None:
            cancel.check()
            if limit is not None and total <= limit:
                break
            at_once = _remove(store, record)
            if at_once is not None:
                queue.removed(record)
                gone.add((record.type, record.id))
                total -= record.size
                freed += at_once
                removed(record)
        every = [record for record in every if (record.type, record.id) not in gone]
    return freed + _sweep(store, everything=everything)


class _Queue:
    """Matching records without children, the least recently used first.

    A parent is added when its last child is removed.
    """

    def __init__(
        self, every: Sequence[CacheRecord], matches: Callable[[CacheRecord], bool]
    ) -> None:
        import heapq

        self._matches = matches
        self._by_id = {(record.type, record.id): record for record in every}
        self._above = Counter((r.type, parent) for r in every for parent in r.parents)
        self._free = [
            (record.last_used or record.created, key)
            for key, record in self._by_id.items()
            if not self._above[key] and matches(record)
        ]
        heapq.heapify(self._free)

    def next(self) -> CacheRecord | None:
        import heapq

        return self._by_id[heapq.heappop(self._free)[1]] if self._free else None

    def removed(self, record: CacheRecord) -> None:
        import heapq

        for parent in record.parents:
            key = (record.type, parent)
            self._above[key] -= 1
            below = self._by_id.get(key)
            if below is not None and not self._above[key] and self._matches(below):
                heapq.heappush(self._free, (below.last_used or below.created, key))


def size_limit(store: Store, rule: PruneRule, total: int) -> int | None:
    """The maximum size of the cache in bytes, None for no limit."""
    if rule.unlimited:
        return None
    limit = rule.max_used
    if rule.min_free:
        status = os.statvfs(store.root)
        lacking = rule.min_free - status.f_bavail * status.f_frsize
        if lacking > 0:
            limit = min(limit or total, max(0, total - lacking))
        else:
            limit = limit or total
    return max(limit, rule.reserved)


def _remove(store: Store, record: CacheRecord) -> int | None:
    """Remove one record. Returns the bytes freed at once, None if the record is in use."""
    if not record.reclaimable:
        return None
    if record.type == STATE:
        return _remove_state(store, int(record.id), record.size)
    if record.type == CACHE_MOUNT:
        return record.size if _remove_mount(store, record.id) else None
    if record.type == LOCAL:
        return record.size if mirrors_of(store).remove(record.id) else None
    if record.type == IMAGE:  # its size is that of its blobs
        return 0 if ImageTable(store.database).remove_nameless(record.id) else None
    return record.size if _remove_download(store, record) else None


def _remove_state(store: Store, state: int, size: int) -> int | None:
    with store.database.write() as connection:
        row = connection.execute(
            "SELECT directory FROM snapshots WHERE id = ?1"
            " AND NOT EXISTS (SELECT 1 FROM leases WHERE snapshot = ?1)"
            " AND NOT EXISTS (SELECT 1 FROM evidence WHERE snapshot = ?1)"
            " AND NOT EXISTS (SELECT 1 FROM snapshots WHERE parent = ?1)",
            (state,),
        ).fetchone()
        if row is None:
            return None
        connection.execute(
            "DELETE FROM aliases WHERE canonical IN (SELECT key FROM results WHERE snapshot = ?)",
            (state,),
        )
        connection.execute("DELETE FROM results WHERE snapshot = ?", (state,))
        connection.execute("DELETE FROM snapshots WHERE id = ?", (state,))
        directory = row[0]
        if (
            directory
            and connection.execute(
                "SELECT 1 FROM snapshots WHERE directory = ?", (directory,)
            ).fetchone()
        ):
            directory = None  # another snapshot has the same difference
    if not directory:
        return 0  # its size is that of its blobs
    discard_tree(store.path("snapshots", directory))
    return size


def _remove_mount(store: Store, directory: str) -> bool:
    folder = store.path("mounts", directory)
    doomed = os.path.join(store.scratch, os.urandom(4).hex())
    with unused(f"{folder}.lock") as free:
        if not free:
            return False
        with store.database.write() as connection:
            connection.execute("DELETE FROM cache_mounts WHERE directory = ?", (directory,))
        with suppress(FileNotFoundError):
            os.rename(folder, doomed)  # the row first: a mount that is removed in part is no cache
    discard_tree(doomed)
    return True


def _remove_download(store: Store, record: CacheRecord) -> bool:
    """Remove a download. Builds read these without leases, so no build may run."""
    try:
        with store.exclusive(wait=False):
            if record.type == GIT:
                discard_tree(store.path("git", record.id))
                return True
            folder = store.path("http")
            for name in os.listdir(folder):
                if name == record.id or name.startswith((f"{record.id}-", f"{record.id}.")):
                    os.unlink(os.path.join(folder, name))
            return True
    except Unavailable:
        return False


def _sweep(store: Store, *, everything: bool) -> int:
    """Remove keys without a result, and blobs that neither an image nor a snapshot refers to.

    Returns the bytes of the blobs.
    """
    ResultTable(store.database).sweep(everything=everything)
    recover(store, RecordTable(store))
    try:
        with store.exclusive(wait=False):
            ContentTable(store.database).sweep()
            _sweep_directories(store)
            _sweep_downloads(store)
            return _sweep_blobs(store, everything=everything)
    except Unavailable:
        return 0


def _sweep_directories(store: Store) -> None:
    """Remove directories that no snapshot refers to."""
    known = {
        row[0]
        for row in store.database.rows("SELECT directory FROM snapshots WHERE directory NOT NULL")
    }
    for name in os.listdir(store.path("snapshots")):
        if not name.startswith(".") and name not in known:
            discard_tree(store.path("snapshots", name))


def _sweep_downloads(store: Store) -> None:
    """Remove the rest of failed downloads: files and locks without a record."""
    folder = store.path("http")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    records = {name for name in names if "-" not in name and "." not in name}
    for name in names:
        record = name.partition("-")[0].partition(".")[0]
        if record not in records or name.endswith((".part", ".new")):
            os.unlink(os.path.join(folder, name))


def _sweep_blobs(store: Store, *, everything: bool) -> int:
    rows = store.database.rows("SELECT digest FROM layers UNION SELECT digest FROM build_blobs")
    needed: set[str] = {row[0] for row in rows}
    images = [Digest(row[0]) for row in store.database.rows("SELECT digest FROM images")]
    if everything:
        with store.database.write() as connection:
            connection.execute("DELETE FROM pulls")  # their manifests are removed next
    pulls = [Digest(row[0]) for row in store.database.rows("SELECT digest FROM pulls")]
    for digest in (*images, *pulls):
        needed.update(reachable(store.blobs, digest))
    freed = 0
    for digest in list(store.blobs.digests()):
        if digest not in needed:
            freed += store.blobs.size(digest)
            store.blobs.remove(digest)
    return freed
