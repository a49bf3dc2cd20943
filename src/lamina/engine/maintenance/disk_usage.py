"""The disk usage of the store's parts."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lamina.base.digest import Digest
from lamina.base.errors import Exhausted
from lamina.base.usage import CacheRecord
from lamina.records.evidence import evidence_snapshots
from lamina.stores.images import NAMELESS, ImageTable
from lamina.stores.reachable import reachable
from lamina.system.tree_size import tree_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.session.mirrors import Mirrors
    from lamina.stores.store import Store

STATE = "regular"
CACHE_MOUNT = "exec.cachemount"
GIT = "source.git.checkout"
HTTP = "source.http"
LOCAL = "source.local"
IMAGE = "image"
"""An image without a name. BuildKit has no such record type."""


def cache_records(store: Store) -> list[CacheRecord]:
    """All cache records: everything that makes later builds faster."""
    return [
        *_states(store),
        *_cache_mounts(store),
        *_mirrors(store),
        *_repositories(store),
        *_downloads(store),
        *_nameless_images(store),
    ]


def held_states(store: Store) -> set[int]:
    """The snapshots that running builds of all processes may use. Removes leases of dead
    processes."""
    leases = store.database.rows("SELECT process, snapshot FROM leases")
    if not leases:
        return set()
    living = store.living()
    dead = {process for process, _ in leases} - living
    if dead:
        with suppress(Exhausted), store.database.write() as connection:
            connection.executemany(
                "DELETE FROM leases WHERE process = ?", [(process,) for process in dead]
            )
    return {snapshot for process, snapshot in leases if process in living}


@contextmanager
def unused(lock: str) -> Iterator[bool]:
    """Lock a lock file for the block, unless it is missing. Returns False if it is in use."""
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)


def _states(store: Store) -> list[CacheRecord]:
    rows = store.database.rows(
        "SELECT s.id, s.parent, s.directory, s.description, s.created, s.used, s.uses, s.size,"
        " (SELECT COALESCE(MAX(l.size), 0) FROM layers l WHERE l.snapshot = s.id) FROM snapshots s"
    )
    held = held_states(store) | evidence_snapshots(store.database)
    parents = {row[0]: row[1] for row in rows}
    in_use: set[int] = set()
    for state in held:
        below: int | None = state
        while below is not None and below not in in_use:
            in_use.add(below)
            below = parents.get(below)
    seen: set[str] = set()
    found, measured = [], []
    for state, parent, directory, description, created, used, uses, known, packed in rows:
        size = 0
        if directory and directory not in seen:
            seen.add(directory)
            size = known or tree_size(store.path("snapshots", directory))
            if not known:
                measured.append((size, state))
        found.append(
            CacheRecord(
                id=str(state),
                type=STATE,
                size=size or packed,
                created=created,
                last_used=used,
                usage_count=uses,
                description=description,
                parents=(str(parent),) if parent is not None else (),
                reclaimable=state not in in_use,
            )
        )
    if measured:  # a committed directory never changes: it is measured once
        with suppress(Exhausted), store.database.write() as connection:
            connection.executemany("UPDATE snapshots SET size = ? WHERE id = ?", measured)
    return found


def _cache_mounts(store: Store) -> list[CacheRecord]:
    rows = store.database.rows("SELECT id, directory, created, used, uses FROM cache_mounts")
    found = []
    for mount_id, directory, created, used, uses in rows:
        path = store.path("mounts", directory)
        with unused(f"{path}.lock") as free:
            found.append(
                CacheRecord(
                    id=directory,
                    type=CACHE_MOUNT,
                    size=tree_size(path),
                    created=created,
                    last_used=used,
                    usage_count=uses,
                    description=f"cached mount {mount_id}",
                    reclaimable=free,
                )
            )
    return found


def mirrors_of(store: Store) -> Mirrors:
    """The copies of clients' directories."""
    from lamina.session.mirrors import Mirrors

    return Mirrors(store.path("mirrors"))


def _mirrors(store: Store) -> list[CacheRecord]:
    if not os.path.isdir(store.path("mirrors")):
        return []
    return [
        CacheRecord(
            id=mirror.id,
            type=LOCAL,
            size=mirror.size,
            created=mirror.created,
            last_used=mirror.last_used,
            usage_count=mirror.usage_count,
            description=f"local source for {mirror.name}",
            reclaimable=not mirror.in_use,
        )
        for mirror in mirrors_of(store).usage()
    ]


def _repositories(store: Store) -> list[CacheRecord]:
    """The local copies of git repositories."""
    found = []
    folder = store.path("git")
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        try:
            used = os.stat(f"{path}.lock").st_mtime
            created = os.stat(os.path.join(path, "description")).st_mtime
        except (FileNotFoundError, NotADirectoryError):
            continue  # a lock, or a repository that is still being created
        found.append(
            CacheRecord(
                id=name,
                type=GIT,
                size=tree_size(path),
                created=created,
                last_used=used,
                description="shared git repository",
            )
        )
    return found


def _downloads(store: Store) -> list[CacheRecord]:
    """The downloads of ADD: for each a record, its content and a lock."""
    folder = store.path("http")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    found = []
    for name in names:
        if "-" in name or "." in name:
            continue
        try:
            created = os.stat(os.path.join(folder, name)).st_mtime
            used = os.stat(os.path.join(folder, f"{name}.lock")).st_mtime
            data = [os.path.join(folder, other) for other in names if other.startswith(f"{name}-")]
            size = sum(os.path.getsize(path) for path in data)
        except FileNotFoundError:
            continue  # it was fetched again, or removed, meanwhile
        found.append(
            CacheRecord(
                id=name,
                type=HTTP,
                size=size,
                created=created,
                last_used=used,
                description="downloaded file",
            )
        )
    return found


def _nameless_images(store: Store) -> list[CacheRecord]:
    """Images that only have a digest. The user keeps the ones with a name."""
    images = [i for i in ImageTable(store.database).all() if i.name.startswith(NAMELESS)]
    if not images:
        return []
    cached = {row[0] for row in store.database.rows("SELECT digest FROM layers")}
    return [
        CacheRecord(
            id=image.target.digest,
            type=IMAGE,
            size=sum(
                store.blobs.size(Digest(blob))
                for blob in reachable(store.blobs, image.target.digest) - cached
                if store.blobs.has(Digest(blob))
            ),
            created=image.created,
            last_used=image.created,
            description="image without a name",
        )
        for image in images
    ]
