"""`type=local`: a result's files copied into a folder of the user's.

They belong to whoever runs lamina, as `docker buildx` does it; modes, times, links and extended
attributes are kept. What is in the folder already stays unless its name is needed, and no link
in it is ever followed: every step goes through a descriptor of the directory it happens in.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, from_os_error
from lamina.system.clone import clone_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.system.cancel import Cancellation

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FOREIGN_XATTRS = ("trusted.overlay.", "security.selinux")


def export_directory(
    root: str | None,
    dest: str,
    cancel: Cancellation,
    *,
    epoch: int | None = None,
    delete: bool = False,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Copy what is below `root` (None: nothing) into `dest`; returns the bytes of its files.

    Args:
        epoch: the time of everything copied, in seconds; None keeps each file's own.
        delete: remove what `dest` has beyond that.
        progress: called with the bytes copied so far.

    Raises InvalidInput, PermissionDenied, Exhausted, Cancelled.
    """
    if os.path.lexists(dest) and not os.path.isdir(dest):
        raise InvalidInput(f"the destination {dest} is not a folder")
    copy = _Copy(cancel, epoch, delete, progress)
    try:
        os.makedirs(dest, mode=0o755, exist_ok=True)
        target = os.open(dest, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if root is None:
                if delete:
                    _remove_all(target)
                return 0
            source = os.open(root, _DIRECTORY)
            try:
                copy.run(source, target)
            finally:
                os.close(source)
        finally:
            os.close(target)
    except OSError as error:
        if isinstance(error.filename, int):
            error.filename = dest
        raise from_os_error(error, "export to the folder") from error
    return copy.copied


class _Copy:
    def __init__(
        self,
        cancel: Cancellation,
        epoch: int | None,
        delete: bool,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.copied = 0
        self._cancel = cancel
        self._mtime_ns = None if epoch is None else epoch * 1_000_000_000
        self._delete = delete
        self._progress = progress
        self._links: dict[tuple[int, int], str] = {}
        self._top = -1

    def run(self, source: int, target: int) -> None:
        self._top = target
        self._children(source, target, "")

    def _children(self, source: int, target: int, path: str) -> None:
        names = sorted(os.listdir(source), key=os.fsencode)
        if self._delete:
            kept = set(names)
            for name in os.listdir(target):
                if name not in kept:
                    _remove(target, name)
        for name in names:
            self._cancel.check()
            self._one(source, target, name, f"{path}/{name}" if path else name)

    def _one(self, source: int, target: int, name: str, path: str) -> None:
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFSOCK:
            return
        if kind == stat.S_IFDIR:
            self._directory(source, target, name, path, status)
            return
        _make_room(target, name)
        part = f".lamina-{os.urandom(6).hex()}"
        try:
            if not self._make(source, target, name, part, path, status):
                return
            os.rename(part, name, src_dir_fd=target, dst_dir_fd=target)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(part, dir_fd=target)
            raise
        if self._progress is not None:
            self._progress(self.copied)

    def _make(
        self, source: int, target: int, name: str, part: str, path: str, status: os.stat_result
    ) -> bool:
        """Make the new file under a name of its own; False if it turned out to be nothing."""
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source), part, dir_fd=target)
            self._date(part, target, status)
            return True
        identity = (status.st_dev, status.st_ino)
        first = self._links.get(identity)
        if first is not None:
            os.link(first, part, src_dir_fd=self._top, dst_dir_fd=target, follow_symlinks=False)
            return True
        if status.st_nlink > 1:
            self._links[identity] = path
        if kind != stat.S_IFREG:
            os.mknod(part, kind | 0o600, status.st_rdev, dir_fd=target)
            os.chmod(part, stat.S_IMODE(status.st_mode), dir_fd=target)
            self._date(part, target, status)
            return True
        reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            writer = os.open(part, flags, 0o600, dir_fd=target)
            try:
                clone_bytes(reader, writer)
                _copy_xattrs(reader, writer)
                os.fchmod(writer, stat.S_IMODE(status.st_mode))
                os.utime(writer, ns=self._times(status))
            finally:
                os.close(writer)
        finally:
            os.close(reader)
        self.copied += status.st_size
        return True

    def _directory(
        self, source: int, target: int, name: str, path: str, status: os.stat_result
    ) -> None:
        inner_source = os.open(name, _DIRECTORY, dir_fd=source)
        try:
            inner_target = _enter(target, name)
            try:
                self._children(inner_source, inner_target, path)
                _copy_xattrs(inner_source, inner_target)
                os.fchmod(inner_target, stat.S_IMODE(status.st_mode))
                os.utime(inner_target, ns=self._times(status))
            finally:
                os.close(inner_target)
        finally:
            os.close(inner_source)

    def _times(self, status: os.stat_result) -> tuple[int, int]:
        mtime = status.st_mtime_ns if self._mtime_ns is None else self._mtime_ns
        return mtime, mtime

    def _date(self, name: str, target: int, status: os.stat_result) -> None:
        os.utime(name, ns=self._times(status), dir_fd=target, follow_symlinks=False)


def _enter(folder: int, name: str) -> int:
    """A descriptor of a real directory of that name, made in the place of anything else."""
    try:
        return os.open(name, _DIRECTORY, dir_fd=folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        os.unlink(name, dir_fd=folder)
    os.mkdir(name, 0o700, dir_fd=folder)
    return os.open(name, _DIRECTORY, dir_fd=folder)


def _make_room(folder: int, name: str) -> None:
    """Remove a directory where something else shall be; a file is renamed over."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        shutil.rmtree(name, dir_fd=folder)


def _remove(folder: int, name: str) -> None:
    _make_room(folder, name)
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _remove_all(folder: int) -> None:
    for name in os.listdir(folder):
        _remove(folder, name)


def _copy_xattrs(source: int, target: int) -> None:
    """Those that can be: a user's file system may not take them all."""
    try:
        names = os.listxattr(source)
    except OSError:
        return
    for name in names:
        if not name.startswith(_FOREIGN_XATTRS):
            with suppress(OSError):
                os.setxattr(target, name, os.getxattr(source, name))
