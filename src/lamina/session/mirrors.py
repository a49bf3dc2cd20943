"""Copies of clients' directories, kept so that later builds only transfer changes.

    <root>/<id>/tree/   the copy
    <root>/<id>/info    its key, revision and size, as JSON
    <root>/<id>/usage   when it was last used (a double) and how often (64 bits), little-endian;
                        written in place, because ext4 flushes a file that replaces another
    <root>/<id>/stats   the client's packets that describe the files, and whether no file has
                        extended attributes, in Python's `marshal` format (only root can write
                        there); missing while the files are changed
    <root>/<id>/lock    locked by its user

A mirror has one user at a time, possibly another process. One of an earlier boot is emptied,
because it is unknown how much of it reached the disk.
"""

from __future__ import annotations

import fcntl
import json
import marshal
import os
import secrets
import time
from contextlib import contextmanager, suppress
from struct import Struct
from struct import error as struct_error
from typing import TYPE_CHECKING, Any

from lamina.base.errors import from_os_error
from lamina.base.named_tuple import NamedTuple
from lamina.system.removal import discard_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ABANDONED = 3600.0  # seconds
_MODE = 0o755  # of the root of a directory, which no client sends
_STATS = "stats"
_TAKEN = "stats.taken"
_USAGE = Struct("<dQ")
_BOOT = "/proc/sys/kernel/random/boot_id"


class MirrorKey(NamedTuple):
    """The key of a mirror: a client's directory by the client's shared key, and its name.

    `filters` selects its files. A mirror with other filters is better than none.
    """

    shared_key: str
    name: str
    filters: str = ""


class MirrorUsage(NamedTuple):
    """A mirror in the output of `du` and `prune`: bytes; seconds since 1970."""

    id: str
    name: str
    size: int
    created: float
    last_used: float
    usage_count: int
    in_use: bool


class Mirror:
    """A claimed mirror. No other build uses it until `release`."""

    def __init__(self, folder: str, lock: int, info: dict[str, Any], filters: str) -> None:
        self.id = os.path.basename(folder)
        self._folder = folder
        self._lock = lock
        self._info = info
        self._filters = filters

    @property
    def tree(self) -> str:
        """The path of the copy."""
        return os.path.join(self._folder, "tree")

    @property
    def revision(self) -> str:
        """A text that is different after each change of the files. "" if they are not known."""
        return str(self._info.get("revision", ""))

    def change(self) -> tuple[Sequence[bytes], bool]:
        """Begin to change the files. Until `record` or `keep`, their state is unknown.

        Returns the packets that were recorded last, and whether no file has extended attributes.
        """
        return _take_stats(self._folder)

    def record(self, size: int, stats: Sequence[bytes], *, plain: bool) -> None:
        """Record that the copy is up to date and has `size` bytes. `stats` and `plain` are as in
        `change`."""
        self._info["size"] = size
        self._info["revision"] = secrets.token_hex(16)
        self._info["filters"] = self._filters
        with _recording():
            _write_info(self._folder, self._info)
            _write_stats(self._folder, stats, plain=plain)
            _count_use(self._folder)

    def keep(self) -> None:
        """Record that the copy was up to date: nothing has changed since `change`."""
        with _recording():
            if self._info.get("filters") != self._filters:
                self._info["filters"] = self._filters
                _write_info(self._folder, self._info)
            os.rename(os.path.join(self._folder, _TAKEN), os.path.join(self._folder, _STATS))
            _count_use(self._folder)

    def release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


class Mirrors:
    """All mirrors below one directory. Safe for threads and processes."""

    def __init__(self, root: str) -> None:
        self._root = root

    def claim(self, key: MirrorKey) -> Mirror:
        """A free mirror for `key`, else the least recently used one, else a new one.

        Raises PermissionDenied, Exhausted.
        """
        try:
            for folder, info in self._candidates(key):
                lock = _lock(folder)
                if lock is None:
                    continue
                mirror = Mirror(folder, lock, info, key.filters)
                if info.get("boot") != _boot():
                    self._empty(mirror, info)
                return mirror
            return self._make(key)
        except OSError as error:
            raise from_os_error(error, "prepare a copy of the client's directory") from error

    def usage(self) -> list[MirrorUsage]:
        """All mirrors, in no order."""
        found = []
        for folder, info in self._all():
            lock = _lock(folder)
            if lock is not None:
                os.close(lock)
            used, count = _read_usage(folder)
            found.append(
                MirrorUsage(
                    os.path.basename(folder),
                    str(info.get("name", "")),
                    int(info.get("size", 0)),
                    float(info.get("created", 0)),
                    used,
                    count,
                    lock is None,
                )
            )
        return found

    def remove(self, mirror_id: str) -> bool:
        """Remove a mirror. Returns False if it is in use or does not exist."""
        folder = os.path.join(self._root, mirror_id)
        lock = _lock(folder)
        if lock is None:
            return False
        try:
            # Renamed first: a partly removed mirror must not be used.
            gone = os.path.join(self._root, f".gone-{secrets.token_hex(8)}")
            os.rename(folder, gone)
            discard_tree(gone)
        finally:
            os.close(lock)
        return True

    def _candidates(self, key: MirrorKey) -> list[tuple[str, dict[str, Any]]]:
        fitting = [
            (folder, info)
            for folder, info in self._all()
            if (info.get("key"), info.get("name")) == (key.shared_key, key.name)
        ]
        if len(fitting) > 1:
            fitting.sort(
                key=lambda item: (item[1].get("filters") != key.filters, _read_usage(item[0])[0])
            )
        return fitting

    def _all(self) -> Iterator[tuple[str, dict[str, Any]]]:
        try:
            names = os.listdir(self._root)
        except FileNotFoundError:
            return
        for name in names:
            folder = os.path.join(self._root, name)
            if name.startswith("."):
                self._sweep(folder)
                continue
            try:
                with open(os.path.join(folder, "info"), "rb") as file:
                    info = json.load(file)
            except (OSError, ValueError):
                info = {}
            if isinstance(info, dict):
                yield folder, info

    def _make(self, key: MirrorKey) -> Mirror:
        folder = os.path.join(self._root, secrets.token_hex(12))
        hidden = os.path.join(self._root, f".new-{os.path.basename(folder)}")
        os.makedirs(hidden, mode=0o700)
        _make_tree(os.path.join(hidden, "tree"))
        info = {
            "key": key.shared_key,
            "name": key.name,
            "filters": key.filters,
            "boot": _boot(),
            "created": time.time(),
            "size": 0,
        }
        _write_info(hidden, info)
        _write_usage(hidden, time.time(), 0)
        lock = _lock(hidden)
        assert lock is not None, "no other process knows it"
        os.rename(hidden, folder)
        return Mirror(folder, lock, info, key.filters)

    def _empty(self, mirror: Mirror, info: dict[str, Any]) -> None:
        _take_stats(os.path.dirname(mirror.tree))
        discard_tree(mirror.tree)
        _make_tree(mirror.tree)
        info = {**info, "boot": _boot(), "size": 0}
        _write_info(os.path.dirname(mirror.tree), info)
        mirror._info.update(info)

    def _sweep(self, folder: str) -> None:
        """Remove files of processes that died while they created or removed mirrors."""
        try:
            if os.lstat(folder).st_mtime > time.time() - _ABANDONED:
                return  # it may be new and not locked yet
        except FileNotFoundError:
            return
        lock = _lock(folder)
        if lock is not None:
            discard_tree(folder)
            os.close(lock)


@contextmanager
def _recording() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise from_os_error(error, "record the copy of the client's directory") from error


def _lock(folder: str) -> int | None:
    """Lock a mirror. None if it is in use or does not exist any more."""
    path = os.path.join(folder, "lock")
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), os.stat(path)):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(fd)
    return None


def _make_tree(path: str) -> None:
    os.mkdir(path)
    os.chmod(path, _MODE)  # independent of this process's umask: steps see it


def _write_info(folder: str, info: dict[str, Any]) -> None:
    path = os.path.join(folder, "info")
    fresh = f"{path}.new"
    with open(fresh, "w", encoding="utf-8") as file:
        json.dump(info, file)
    os.rename(fresh, path)


def _read_usage(folder: str) -> tuple[float, int]:
    """When a mirror was last used (0.0 if it is not known), and how often."""
    try:
        with open(os.path.join(folder, "usage"), "rb") as file:
            used, count = _USAGE.unpack(file.read(_USAGE.size))
    except (OSError, struct_error):
        return 0.0, 0
    return used, count


def _count_use(folder: str) -> None:
    _write_usage(folder, time.time(), _read_usage(folder)[1] + 1)


def _write_usage(folder: str, used: float, count: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    fd = os.open(os.path.join(folder, "usage"), flags, 0o600)
    try:
        os.write(fd, _USAGE.pack(used, count))
    finally:
        os.close(fd)


def _take_stats(folder: str) -> tuple[Sequence[bytes], bool]:
    """Read the packets, and whether no file has extended attributes. Later readers find none."""
    taken = os.path.join(folder, _TAKEN)
    try:
        os.rename(os.path.join(folder, _STATS), taken)
        with open(taken, "rb") as file:
            stats, plain = marshal.loads(file.read())
    except (OSError, ValueError, TypeError, EOFError):
        return (), False
    return (stats, plain) if isinstance(stats, tuple) else ((), False)


def _write_stats(folder: str, stats: Sequence[bytes], *, plain: bool) -> None:
    path = os.path.join(folder, _STATS)
    with open(f"{path}.new", "wb") as file:
        marshal.dump((tuple(stats), plain), file)
    os.rename(f"{path}.new", path)
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, _TAKEN))


def _boot() -> str:
    with suppress(OSError), open(_BOOT, encoding="ascii") as file:
        return file.read().strip()
    return ""
