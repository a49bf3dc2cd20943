"""A store on disk, which several processes share.

    blobs/sha256/…      immutable bytes by digest, as in an OCI layout
    snapshots/<name>/   a committed directory: fs/ (the files) and work/ (of overlayfs)
    mounts/<name>/      cache mounts
    meta.db             SQLite
    tmp/<process>/      temporary files of a running process, which locks tmp/<process>.lock
    private/            empty; each process mounts its own tmpfs on it, for secrets
    lock                locked shared by builds, exclusively while blobs are removed
    reserve             space that is freed so that a full disk can be pruned

A process that dies leaves only its directory in tmp/. The next process removes it, because its lock
is free.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lamina.base.errors import Exhausted, PermissionDenied, Unavailable, from_os_error
from lamina.stores.blobs import BlobStore
from lamina.stores.database import Database
from lamina.stores.leases import Leases
from lamina.system.directory import make_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

_SETTLE_AFTER = 60.0
_RESERVE = 4 << 20
_SCANT = 1 << 20  # bytes: with less free space the reserve is deleted
_FOLDERS = ("blobs/sha256", "snapshots", "mounts", "tmp")


class Store:
    """An open store: its database, its blobs, and the directory of this process. Use `open_store`.

    `root` is absolute; `scratch` is the directory of this process in tmp/.
    """

    def __init__(self, root: str, database: Database, scratch: str) -> None:
        self.root = root
        self.database = database
        self.scratch = scratch
        self.blobs = BlobStore(root)
        self.leases = Leases(database, os.path.basename(scratch))

    def path(self, *parts: str) -> str:
        return os.path.join(self.root, *parts)

    @contextmanager
    def making_room(self) -> Iterator[None]:
        """Free the reserve during the block: removing things needs some space at first."""
        _spend_reserve(self.root)
        try:
            with suppress(Exhausted):
                self.leases.delete_unused()  # those that a full disk has kept
            yield
        finally:
            _keep_reserve(self.root)

    @contextmanager
    def exclusive(self, *, wait: bool = True) -> Iterator[None]:
        """Lock out builds, for removing blobs. Raises Unavailable if one runs, unless `wait`."""
        fd = os.open(self.path("lock"), os.O_RDWR | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise Unavailable(
                    f"the store {self.root} is in use by a running build",
                    hint="wait for it to end, or stop it",
                ) from None
            yield
        finally:
            os.close(fd)

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Run a build: it holds what it uses (`leases`), and locks out `exclusive`."""
        fd = os.open(self.path("lock"), os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            build = self.leases.enter()
            try:
                yield
            finally:
                self.leases.leave(build)
        finally:
            os.close(fd)

    def living(self) -> set[str]:
        """The processes that have this store open, by the names in their leases."""
        tmp = self.path("tmp")
        names = [name for name in os.listdir(tmp) if name.endswith(".lock")]
        return {name.removesuffix(".lock") for name in names if not _is_free(tmp, name)}


@contextmanager
def open_store(root: str) -> Iterator[Store]:
    """Open the store at `root`, or create it, and clean up after dead processes.

    Raises PermissionDenied (also if it is another user's), Exhausted, Corrupt.
    """
    root = os.path.abspath(root)
    try:
        if not os.path.exists(os.path.join(root, "lock")):
            for folder in _FOLDERS:
                os.makedirs(os.path.join(root, folder), exist_ok=True)
                os.chmod(os.path.join(root, folder), 0o711)
            os.close(os.open(os.path.join(root, "lock"), os.O_CREAT | os.O_RDWR, 0o600))
        _check_owner(root)
        os.chmod(root, 0o711)
        _spend_reserve(root)
        scratch, claim = _claim(os.path.join(root, "tmp"))
    except OSError as error:
        raise from_os_error(error, "open the store") from error
    try:
        database = Database(os.path.join(root, "meta.db"))
        try:
            store = Store(root, database, scratch)
            settle(store)
            _keep_reserve(root)
            yield store
        finally:
            database.close()
    finally:
        _remove(scratch)
        os.unlink(scratch + ".lock")
        os.close(claim)


def _check_owner(root: str) -> None:
    """Refuse the store of another user: its files would get two owners, or could not be read."""
    owner = os.stat(os.path.join(root, "lock")).st_uid
    if owner != os.geteuid():
        raise PermissionDenied(
            f"the store {root} belongs to the user with the ID {owner}, and this is {os.geteuid()}",
            hint="use another --root, or run lamina as that user",
        )


def _spend_reserve(root: str) -> None:
    """Delete the reserve if the disk is almost full."""
    if _free(root) < _SCANT:
        with suppress(OSError):
            os.unlink(os.path.join(root, "reserve"))


def _keep_reserve(root: str) -> None:
    """Create the reserve if there is space for it."""
    path = os.path.join(root, "reserve")
    with suppress(OSError):
        if not os.path.exists(path) and (size := min(_RESERVE, _free(root) - _SCANT // 4)) > 0:
            fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, size)
            finally:
                os.close(fd)


def _free(path: str) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def settle(store: Store) -> None:
    """Settle the rows of earlier processes, or delete them after a power cut.

    Rows of this boot are settled by a `syncfs` at least a minute after them, when the kernel has
    written most of the data anyway. The files of rows of an earlier boot that are not settled may
    be lost, so these rows are deleted, with everything on top of them.
    """
    database = store.database
    now = time.time()
    row = database.row(
        "SELECT MIN(created), MAX(boot != ?), MAX(boot = ? AND created < ?) FROM"
        " (SELECT created, boot FROM snapshots WHERE NOT settled"
        " UNION ALL SELECT created, boot FROM images WHERE NOT settled)",
        database.boot,
        database.boot,
        now - _SETTLE_AFTER,
    )
    if row is None or row[0] is None:
        return
    oldest, lost, due = row
    if lost:
        with database.write() as connection:
            condition = "NOT settled AND boot != ?"
            doomed = f"SELECT id FROM snapshots WHERE {condition}"
            connection.execute(f"DELETE FROM results WHERE snapshot IN ({doomed})", [database.boot])
            connection.execute(f"DELETE FROM snapshots WHERE {condition}", [database.boot])
            connection.execute(f"DELETE FROM images WHERE {condition}", [database.boot])
        store.blobs.remove_since(oldest - _SETTLE_AFTER)
    elif due:
        _sync_file_system(store.root)
        with database.write() as connection:
            for table in ("snapshots", "images"):
                connection.execute(
                    f"UPDATE {table} SET settled = 1 WHERE NOT settled AND created < ?", [now]
                )


def _sync_file_system(path: str) -> None:
    import ctypes

    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(fd) != 0:
            os.sync()
    finally:
        os.close(fd)


def remove_dead(tmp: str) -> None:
    """Remove the directories of dead processes, as far as this process may.

    Args:
        tmp: the directory `tmp` of a store.
    """
    for name in os.listdir(tmp):
        if name.endswith(".lock"):
            _reap(tmp, name)


def _claim(tmp: str) -> tuple[str, int]:
    """Create and lock the directory of this process, and remove the directories of dead
    processes."""
    remove_dead(tmp)
    while True:
        scratch = os.path.join(tmp, f"{os.getpid()}-{os.urandom(4).hex()}")
        claim = os.open(scratch + ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(claim, fcntl.LOCK_EX)
        if os.fstat(claim).st_nlink:
            make_directory(scratch, 0o711)
            return scratch, claim
        os.close(claim)  # another process took it for that of a dead process before it was locked


def _is_free(tmp: str, lock_name: str) -> bool:
    """Whether the lock of a process is free: it is dead."""
    try:
        fd = os.open(os.path.join(tmp, lock_name), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(fd)


def _reap(tmp: str, lock_name: str) -> None:
    path = os.path.join(tmp, lock_name)
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        folder = path.removesuffix(".lock")
        _remove(folder)
        # What a dying container still has mounted is removed the next time.
        if not os.path.exists(folder) and os.path.exists(path):
            os.unlink(path)
    finally:
        os.close(fd)


def _remove(folder: str) -> None:
    """Remove the directory of a process, as far as possible. Most are empty."""
    try:
        os.rmdir(folder)
    except OSError:
        from lamina.system.removal import discard_tree

        discard_tree(folder)
