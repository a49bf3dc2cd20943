"""How received files are put below a root: compared, made, replaced, given their metadata."""

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

    The caller checks paths (`receiver._Order`): they are clean, and their directories were
    received before. No other process may change names below the root meanwhile. Even if one
    does, no link leads out of the root.

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
        """Whether a regular file is there already, by its metadata. Its extended attributes are
        put right."""
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
            # Files of their own at the other side must not be one here.
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
        """Make a directory, or make the one that is there like it."""
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
        """Give a directory its mode and time, now that nothing in it changes any more."""
        folder, name = self._place(stat.path)
        status = os.lstat(name, dir_fd=folder)
        if status.st_mode != filemode.to_unix(stat.mode):
            os.chmod(name, filemode.permissions(stat.mode), dir_fd=folder)
        if status.st_mtime_ns != stat.mod_time:
            _set_time(folder, name, stat)

    def special(self, stat: Stat, existing: os.stat_result | None) -> None:
        """Make a symbolic link, device or pipe, unless it is there already."""
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
        """Open a new file to be written. Its descriptor, and the name it has meanwhile."""
        folder, name = self._place(stat.path)
        try:
            # In its place at once if that is free: it only looks current when it has its time.
            return os.open(name, _CREATE, 0o600, dir_fd=folder), name
        except FileExistsError:
            fresh = self._fresh_name()
            return os.open(fresh, _CREATE, 0o600, dir_fd=folder), fresh

    def write(self, stat: Stat, content: bytes) -> None:
        """Put a whole file in its place."""
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
        """Go on with a file that `begin` made."""
        folder, _ = self._place(stat.path)
        return os.open(name, _APPEND, dir_fd=folder)

    def settle(self, stat: Stat, name: str, fd: int) -> None:
        """A file has its content: give it its metadata, and its place."""
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
        """Take away a file that will not be finished."""
        try:
            folder, _ = self._place(stat.path)
            _unlink(folder, name)
        except OSError:
            return

    def link(self, stat: Stat) -> None:
        """Make a path another name of `stat.linkname`, unless it is already."""
        parent, _, base = stat.linkname.rpartition("/")
        # The first descriptor must outlive the second's opening.
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
        """Of what cannot be opened, or is a directory."""
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
    """Of a descriptor, or of what is at a path (never of where a link leads).

    What the file system or the system's rules refuse is left out, as fsutil does.
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
