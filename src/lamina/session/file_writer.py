"""Writes received files below a root: compares, creates and replaces them, and sets metadata."""

from __future__ import annotations

import os
import secrets
import stat as unix
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.api import filemode
from lamina.session.walk import read_xattrs
from lamina.system.beneath import Beneath

if TYPE_CHECKING:
    from lamina.api.filesync import Stat

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_USABLE = 0o700
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class FileWriter:
    """Writes files below a directory. Every method may raise OSError.

    The caller checks paths (`folder_receiver._Order`): they are clean, and their directories were
    received before. No other process may change names below the root meanwhile. Even if one does,
    no link leads out of the root.

    Args:
        plain: nothing below the root has extended attributes yet. Reading those of each file is
            half the work of finding that nothing has changed.
    """

    def __init__(self, root: str, owner: tuple[int, int] | None, *, plain: bool = False) -> None:
        self._beneath = Beneath(root)
        self._plain = plain
        self._owned = owner != (os.geteuid(), os.getegid())
        self._token = secrets.token_hex(4)
        self._count = 0
        self._shared: dict[tuple[int, int], str] = {}

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._beneath.close()

    def directory(self, path: str) -> int:
        return self._beneath.directory(path)

    def remove(self, path: str) -> None:
        self._beneath.remove(path)

    def is_current(self, stat: Stat, existing: os.stat_result) -> bool:
        """Whether a regular file exists with this metadata. Corrects its extended attributes."""
        if (
            existing.st_size != stat.size
            or existing.st_mtime_ns != stat.mod_time
            or existing.st_mode != filemode.to_unix(stat.mode)
            or existing.st_uid != stat.uid
            or existing.st_gid != stat.gid
        ):
            return False
        folder, name = self._place(stat.path)
        place = f"/proc/self/fd/{folder}/{name}"
        if existing.st_nlink > 1:
            # Separate files of the sender must not be hard links here.
            inode = (existing.st_dev, existing.st_ino)
            if self._shared.setdefault(inode, stat.path) != stat.path:
                return False
        if self._xattrs_there(place) == stat.xattrs:
            return True
        if existing.st_nlink > 1:
            return False  # they would change for its other names too
        _set_xattrs(place, stat, existing=True)
        return True

    def folder(self, stat: Stat, existing: os.stat_result | None) -> None:
        """Create a directory, or adapt the metadata of an existing one."""
        folder, name = self._place(stat.path)
        if existing is not None and not unix.S_ISDIR(existing.st_mode):
            os.unlink(name, dir_fd=folder)
            existing = None
        if existing is None:
            os.mkdir(name, 0o700, dir_fd=folder)
        elif (
            existing.st_mode == filemode.to_unix(stat.mode)
            and existing.st_mode & _USABLE == _USABLE
            and (existing.st_uid, existing.st_gid) == (stat.uid, stat.gid)
            and self._xattrs_there(f"/proc/self/fd/{folder}/{name}") == stat.xattrs
        ):
            return
        usable = stat._replace(mode=stat.mode | _USABLE)
        self._give_metadata(folder, name, usable, existing=existing is not None)

    def stamp(self, stat: Stat) -> None:
        """Set the mode and time of a directory, when nothing in it changes any more."""
        folder, name = self._place(stat.path)
        status = os.lstat(name, dir_fd=folder)
        if status.st_mode != filemode.to_unix(stat.mode):
            os.chmod(name, filemode.permissions(stat.mode), dir_fd=folder)
        if status.st_mtime_ns != stat.mod_time:
            _set_time(folder, name, stat)

    def special(self, stat: Stat, existing: os.stat_result | None) -> None:
        """Create a symbolic link, device or pipe, unless it already exists."""
        folder, name = self._place(stat.path)
        mode = filemode.to_unix(stat.mode)
        is_link = unix.S_ISLNK(mode)
        if existing is not None and self._same_special(folder, name, stat, existing):
            return
        fresh = self._fresh_name()
        if is_link:
            os.symlink(stat.linkname, fresh, dir_fd=folder)
        else:
            os.mknod(fresh, mode, os.makedev(stat.devmajor, stat.devminor), dir_fd=folder)
        try:
            self._give_metadata(folder, fresh, stat)
            self._replace(folder, fresh, stat.path, existing)
        except BaseException:
            _unlink(folder, fresh)
            raise

    def begin(self, stat: Stat) -> tuple[int, str]:
        """Create a new file for writing. Returns its descriptor and temporary name."""
        folder, name = self._place(stat.path)
        try:
            # At its final path if that is free: it only looks current when its time is set.
            return os.open(name, _CREATE, 0o600, dir_fd=folder), name
        except FileExistsError:
            fresh = self._fresh_name()
            return os.open(fresh, _CREATE, 0o600, dir_fd=folder), fresh

    def write(self, stat: Stat, content: bytes) -> None:
        """Write a file atomically."""
        fd, name = self.begin(stat)
        try:
            write_all(fd, content)
            self.settle(stat, name, fd)
        except BaseException:
            self.discard(stat, name)
            raise
        finally:
            os.close(fd)

    def reopen(self, stat: Stat, name: str) -> int:
        """Reopen a file that `begin` created."""
        folder, _ = self._place(stat.path)
        return os.open(name, _APPEND, dir_fd=folder)

    def settle(self, stat: Stat, name: str, fd: int) -> None:
        """Complete a file: set its metadata, and rename it to its path."""
        if self._owned:
            os.fchown(fd, stat.uid, stat.gid)
        os.fchmod(fd, filemode.permissions(stat.mode))
        if stat.xattrs:
            _set_xattrs(fd, stat, existing=False)
        os.utime(fd, ns=(stat.mod_time, stat.mod_time))
        folder, place = self._place(stat.path)
        if name != place:
            self._replace(folder, name, stat.path, os.lstat(place, dir_fd=folder))

    def discard(self, stat: Stat, name: str) -> None:
        """Remove an incomplete file."""
        try:
            folder, _ = self._place(stat.path)
            _unlink(folder, name)
        except OSError:
            return

    def link(self, stat: Stat) -> None:
        """Make a path a hard link to `stat.linkname`, unless it is one already."""
        parent, _, base = stat.linkname.rpartition("/")
        # The first descriptor must stay open while the second is opened.
        source = os.dup(self._beneath.directory(parent))
        try:
            target = os.lstat(base, dir_fd=source)
            folder, name = self._place(stat.path)
            existing = _lstat(folder, name)
            if existing is not None and os.path.samestat(existing, target):
                return
            fresh = self._fresh_name()
            os.link(base, fresh, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
            self._replace(folder, fresh, stat.path, existing)
        finally:
            os.close(source)

    def _place(self, path: str) -> tuple[int, str]:
        parent, _, name = path.rpartition("/")
        return self._beneath.directory(parent), name

    def _fresh_name(self) -> str:
        self._count += 1
        return f".tmp.{self._token}.{self._count}"

    def _replace(self, folder: int, fresh: str, path: str, existing: os.stat_result | None) -> None:
        if existing is not None and unix.S_ISDIR(existing.st_mode):
            self._beneath.remove(path)
            folder, _ = self._place(path)
        os.rename(fresh, path.rpartition("/")[2], src_dir_fd=folder, dst_dir_fd=folder)

    def _same_special(self, folder: int, name: str, stat: Stat, existing: os.stat_result) -> bool:
        if (
            existing.st_mtime_ns != stat.mod_time
            or existing.st_uid != stat.uid
            or existing.st_gid != stat.gid
            or unix.S_IFMT(existing.st_mode) != unix.S_IFMT(filemode.to_unix(stat.mode))
        ):
            return False
        if unix.S_ISLNK(existing.st_mode):
            return os.readlink(name, dir_fd=folder) == stat.linkname
        return (
            existing.st_mode == filemode.to_unix(stat.mode)
            and existing.st_rdev == os.makedev(stat.devmajor, stat.devminor)
            and self._xattrs_there(f"/proc/self/fd/{folder}/{name}") == stat.xattrs
        )

    def _xattrs_there(self, place: str) -> tuple[tuple[str, bytes], ...]:
        return () if self._plain else read_xattrs(place)

    def _give_metadata(self, folder: int, name: str, stat: Stat, *, existing: bool = False) -> None:
        """Set the metadata of a directory, or of a file that cannot be opened."""
        if self._owned:
            os.chown(name, stat.uid, stat.gid, dir_fd=folder, follow_symlinks=False)
        if not stat.mode & filemode.SYMLINK:
            os.chmod(name, filemode.permissions(stat.mode), dir_fd=folder)
        if stat.xattrs or existing:
            _set_xattrs(f"/proc/self/fd/{folder}/{name}", stat, existing=existing)
        _set_time(folder, name, stat)


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _set_time(folder: int, name: str, stat: Stat) -> None:
    os.utime(name, ns=(stat.mod_time, stat.mod_time), dir_fd=folder, follow_symlinks=False)


def _set_xattrs(place: int | str, stat: Stat, *, existing: bool) -> None:
    """Set extended attributes of a descriptor, or of a path (not of the target of a link).

    Those that the file system or the kernel refuses are left out (fsutil).
    """
    follow = isinstance(place, int)
    wanted = dict(stat.xattrs)
    if existing:
        names: list[str] = []
        with suppress(OSError):
            names = os.listxattr(place, follow_symlinks=follow)
        for name in names:
            if name not in wanted:
                with suppress(OSError):
                    os.removexattr(place, name, follow_symlinks=follow)
    for name, value in wanted.items():
        with suppress(OSError):
            os.setxattr(place, name, value, follow_symlinks=follow)


def _lstat(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return None


def _unlink(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
