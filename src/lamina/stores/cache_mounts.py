"""Cache mounts: directories that outlive builds and are never part of an image.

An id has one directory; it gets another one when `sharing=private` finds the first in use. The user
of a directory locks `mounts/<folder>.lock`: shared for `sharing=shared`, exclusive for the others.
So the modes hold between processes too.

A directory that is removed while it is in use gets a negative slot, and is deleted when its last
user leaves it. So whether a directory still belongs to the id is checked after it is locked.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from itertools import chain, count
from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple
from lamina.system.directory import make_directory
from lamina.system.locks import held

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation

_POLL = 0.05


class MountOrigin(NamedTuple):
    """The imported cache that a new mount was filled from, and the paths in it."""

    place: str
    paths: tuple[str, ...]


class Seed(Protocol):
    """Fills a new, empty directory, which no other step uses yet."""

    def __call__(self, folder: str, /) -> MountOrigin | None:
        """Returns the imported cache that was used, if any."""
        ...


class MountSummary(NamedTuple):
    """`came_from` is the cache that it was imported from, "" for none."""

    id: str
    created: float
    used: float
    uses: int
    folders: tuple[str, ...]
    came_from: str


class CacheMountStore:
    def __init__(self, store: Store) -> None:
        self._store = store

    @contextmanager
    def shared(self, mount_id: str, seed: Seed) -> Iterator[str]:
        """Use the directory of a mount, which others can use at the same time."""
        while True:
            folder = self._folder(mount_id, 0)
            with self._locked(folder, fcntl.LOCK_SH):
                # Others may use a directory that exists; only creating it needs an exclusive lock.
                if os.path.isdir(folder) and self._ensure(mount_id, 0, folder, seed):
                    yield folder
                    return
            try:
                with self._locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    self._ensure(mount_id, 0, folder, seed)
            except BlockingIOError:
                time.sleep(_POLL)  # another process creates it, or has created it and uses it

    @contextmanager
    def locked(self, mount_id: str, seed: Seed, cancel: Cancellation) -> Iterator[str]:
        """Use the directory of a mount alone; waits until it is free."""
        while True:
            folder = self._folder(mount_id, 0)
            with self._waited(folder, cancel):
                if self._ensure(mount_id, 0, folder, seed):
                    yield folder
                    return

    @contextmanager
    def private(self, mount_id: str, seed: Seed) -> Iterator[str]:
        """Use a directory alone: one of the mount's that is free, or a new one."""
        slot = 0
        while True:
            folder = self._folder(mount_id, slot)
            with ExitStack() as locked:
                try:
                    locked.enter_context(self._locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB))
                except BlockingIOError:
                    slot += 1
                    continue
                if self._ensure(mount_id, slot, folder, seed):
                    yield folder
                    return

    def names(self) -> list[str]:
        """The ids of all mounts, the most recently used first."""
        rows = self._store.database.rows(
            "SELECT id FROM cache_mounts WHERE slot = 0 ORDER BY used DESC, id"
        )
        return [row[0] for row in rows]

    @contextmanager
    def reading(self, mount_id: str, cancel: Cancellation) -> Iterator[str | None]:
        """The directory of a mount, None if there is none. Waits while a step has it alone."""
        while True:
            folder = self._folder(mount_id, 0)
            if not os.path.isdir(folder):
                yield None
                return
            with self._waited(folder, cancel, fcntl.LOCK_SH):
                if self._folder(mount_id, 0) == folder:
                    yield folder if os.path.isdir(folder) else None
                    return

    def keep_place(
        self, mount_id: str, place: str, paths: Iterable[str], *, imported: bool
    ) -> None:
        """Record the paths that a mount and its copy in an exported cache have in common."""
        import zlib

        packed = zlib.compress("\0".join(paths).encode("utf-8", "surrogateescape"), 1)
        with self._store.database.write() as connection:
            connection.execute(
                "INSERT INTO mount_places VALUES (?, ?, ?, ?, ?) ON CONFLICT (mount, place)"
                " DO UPDATE SET paths = excluded.paths, synced = excluded.synced",
                (mount_id, place, packed, imported, time.time()),
            )

    def in_common(self, mount_id: str, place: str) -> frozenset[str]:
        """The paths that a mount and its exported copy had at the last export or import."""
        import zlib

        row = self._store.database.row(
            "SELECT paths FROM mount_places WHERE mount = ? AND place = ?", mount_id, place
        )
        if row is None:
            return frozenset()
        text = zlib.decompress(row[0]).decode("utf-8", "surrogateescape")
        return frozenset(text.split("\0"))

    def summaries(self) -> list[MountSummary]:
        """All mounts, the most recently used first."""
        database = self._store.database
        came = dict(
            database.rows("SELECT mount, place FROM mount_places WHERE imported ORDER BY synced")
        )
        rows = database.rows(
            "SELECT id, MIN(created), MAX(used), SUM(uses), GROUP_CONCAT(directory) FROM"
            " cache_mounts GROUP BY id ORDER BY MAX(used) DESC, id"
        )
        return [
            MountSummary(
                mount_id,
                created,
                used,
                uses,
                tuple(self._store.path("mounts", name) for name in directories.split(",")),
                came.get(mount_id, ""),
            )
            for mount_id, created, used, uses, directories in rows
        ]

    def replace(self, mount_id: str, seed: Seed, cancel: Cancellation) -> bool:
        """Replace the directory of a mount by a new one, unless `seed` has nothing to fill it with.

        The old directory stays until the new one is complete and no step uses the old one.
        """
        fresh = os.path.join(self._store.scratch, os.urandom(4).hex())
        make_directory(fresh)
        try:
            origin = seed(fresh)
            if origin is None:
                return False
            self.remove(mount_id, cancel)

            def move(empty: str) -> MountOrigin | None:
                os.rmdir(empty)
                os.rename(fresh, empty)
                return origin

            with self.locked(mount_id, move, cancel):
                return True
        finally:
            _clear(fresh)

    def remove(self, mount_id: str, cancel: Cancellation) -> bool:
        """Remove all directories of a mount when they are free. Returns whether there were any."""
        directories = self._directories(mount_id)
        for directory in directories:
            with self._waited(self._store.path("mounts", directory), cancel):
                doomed = self._detach_locked(directory)
            _clear(doomed)
        return bool(directories)

    def detach(self, mount_id: str) -> None:
        """Detach the directories from a mount: it starts empty. Steps that use them keep them."""
        for directory in self._directories(mount_id):
            with self._store.database.write() as connection:
                connection.execute(
                    "UPDATE cache_mounts SET slot ="
                    " (SELECT MIN(MIN(slot), 0) - 1 FROM cache_mounts WHERE id = ?1)"
                    " WHERE id = ?1 AND directory = ?2 AND slot >= 0",
                    (mount_id, directory),
                )
                connection.execute("DELETE FROM mount_places WHERE mount = ?", (mount_id,))
            with (
                suppress(BlockingIOError),
                self._locked(self._store.path("mounts", directory), fcntl.LOCK_EX | fcntl.LOCK_NB),
            ):
                pass  # if the lock succeeds, no other step uses it

    def _directories(self, mount_id: str) -> list[str]:
        query = "SELECT directory FROM cache_mounts WHERE id = ?"
        return [row[0] for row in self._store.database.rows(query, mount_id)]

    def _detach_locked(self, directory: str) -> str:
        """Rename a locked directory before it is removed, because a partly removed one is no cache.

        Returns the new path.
        """
        doomed = os.path.join(self._store.scratch, os.urandom(4).hex())
        with self._store.database.write() as connection:
            connection.execute(
                "DELETE FROM mount_places WHERE mount IN"
                " (SELECT id FROM cache_mounts WHERE directory = ? AND slot = 0)",
                (directory,),
            )
            connection.execute("DELETE FROM cache_mounts WHERE directory = ?", (directory,))
        with suppress(FileNotFoundError):
            os.rename(self._store.path("mounts", directory), doomed)
        return doomed

    def _folder(self, mount_id: str, slot: int) -> str:
        """The directory of a slot, or the name of a new one."""
        database = self._store.database
        row = database.row(
            "SELECT directory FROM cache_mounts WHERE id = ? AND slot = ?", mount_id, slot
        )
        if row is not None:
            return self._store.path("mounts", row[0])
        # The name can belong to a detached directory that is in use.
        taken = self._directories(mount_id)
        first = f"{sha256(mount_id.encode()).hexdigest()[:24]}-{slot}"
        names = chain((first,), (f"{first}.{number}" for number in count(1)))
        return self._store.path("mounts", next(name for name in names if name not in taken))

    def _ensure(self, mount_id: str, slot: int, folder: str, seed: Seed) -> bool:
        """Create a locked directory if it is missing, and count its use. False if it was
        detached."""
        if self._folder(mount_id, slot) != folder:
            return False
        now = time.time()
        if not os.path.isdir(folder):
            # Filled elsewhere and renamed: a killed process leaves no partly filled cache.
            fresh = os.path.join(self._store.scratch, os.urandom(4).hex())
            make_directory(fresh)
            origin = seed(fresh)
            if slot == 0:
                # Only what is recorded here is compared with exported copies.
                with self._store.database.write() as connection:
                    connection.execute("DELETE FROM mount_places WHERE mount = ?", (mount_id,))
                    if origin is not None:
                        self.keep_place(mount_id, *origin, imported=True)
            os.rename(fresh, folder)
        with self._store.database.write() as connection:
            if self._folder(mount_id, slot) != folder:
                return False
            connection.execute(
                "INSERT INTO cache_mounts (id, slot, directory, created, used, uses)"
                " VALUES (?, ?, ?, ?, ?, 1)"
                " ON CONFLICT (id, slot) DO UPDATE SET used = ?, uses = uses + 1",
                (mount_id, slot, os.path.basename(folder), now, now, now),
            )
        return True

    @contextmanager
    def _locked(self, folder: str, operation: int) -> Iterator[None]:
        fd = os.open(folder + ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, operation)
            try:
                yield
            finally:
                self._leave(folder, fd)
        finally:
            os.close(fd)

    @contextmanager
    def _waited(
        self, folder: str, cancel: Cancellation, operation: int = fcntl.LOCK_EX
    ) -> Iterator[None]:
        with held(folder + ".lock", cancel, operation) as fd:
            try:
                yield
            finally:
                self._leave(folder, fd)

    def _leave(self, folder: str, fd: int) -> None:
        """Remove a detached directory if no other step uses it."""
        directory = os.path.basename(folder)
        query = "SELECT 1 FROM cache_mounts WHERE directory = ? AND slot < 0"
        if self._store.database.row(query, directory) is None:
            return
        # A failed attempt at the exclusive lock releases the shared one, so the last user gets it.
        with suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _clear(self._detach_locked(directory))


def _clear(folder: str) -> None:
    from lamina.system.removal import discard_tree

    discard_tree(folder)
