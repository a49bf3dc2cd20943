"""`type=local`: a result's files, copied to a directory of the user.

They belong to the user who runs lamina, as with `docker buildx`. Modes, times, links and extended
attributes are kept. Existing files stay unless the result has the same name. Links in the
directory are never followed: every operation uses a descriptor of the parent directory.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, from_os_error
from lamina.system.clone import clone_bytes
from lamina.system.descent import Descent
from lamina.system.file_metadata import KERNEL_METADATA
from lamina.system.removal import remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamina.system.cancel import Cancellation
    from lamina.system.file_metadata import FileMetadata

_SELINUX = "security.selinux"


def export_directory(
    root: str | None,
    dest: str,
    cancel: Cancellation,
    metadata: FileMetadata = KERNEL_METADATA,
    *,
    epoch: int | None = None,
    delete: bool = False,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Copy the files below `root` (None: none) to `dest`. Returns their size in bytes.

    Args:
        metadata: how the files have their metadata.
        epoch: the time of everything copied, in seconds; None keeps each file's own.
        delete: remove all other files from `dest`.
        progress: called with the bytes copied so far.

    Raises InvalidInput, PermissionDenied, Exhausted, Cancelled.
    """
    if os.path.lexists(dest) and not os.path.isdir(dest):
        raise InvalidInput(f"the destination {dest} is not a directory")
    copy = _Copy(cancel, metadata, epoch, delete, progress)
    try:
        os.makedirs(dest, mode=0o755, exist_ok=True)
        with Descent(dest, follow=True) as target:
            if root is None:
                if delete:
                    _remove_all(target.fd)
                return 0
            with Descent(root) as source:
                copy.run(source, target)
    except OSError as error:
        if isinstance(error.filename, int):
            error.filename = dest
        raise from_os_error(error, "export to the directory") from error
    return copy.copied


class _Copy:
    def __init__(
        self,
        cancel: Cancellation,
        metadata: FileMetadata,
        epoch: int | None,
        delete: bool,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.copied = 0
        self._cancel = cancel
        self._metadata = metadata
        self._mtime_ns = None if epoch is None else epoch * 1_000_000_000
        self._delete = delete
        self._progress = progress
        self._links: dict[tuple[int, int], str] = {}
        self._top = -1

    def run(self, source: Descent, target: Descent) -> None:
        self._top = os.dup(target.fd)
        try:
            self._run(source, target)
        finally:
            os.close(self._top)

    def _run(self, source: Descent, target: Descent) -> None:
        inside: list[tuple[str, os.stat_result]] = []
        levels = [self._names(source, target)]
        while levels:
            self._cancel.check()
            name = next(levels[-1], None)
            if name is None:
                levels.pop()
                if inside:
                    self._leave(source, target, inside.pop()[1])
                continue
            status = os.stat(name, dir_fd=source.fd, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                source.enter(name)
                _enter(target, name)
                inside.append((name, status))
                levels.append(self._names(source, target))
            elif not stat.S_ISSOCK(status.st_mode):
                path = "/".join((*(above for above, _ in inside), name))
                status = self._metadata.status(f"/proc/self/fd/{source.fd}/{name}", status)
                self._file(source.fd, target.fd, name, path, status)

    def _names(self, source: Descent, target: Descent) -> Iterator[str]:
        """Names in a directory. With `delete`, all others are first removed from the target."""
        names = sorted(os.listdir(source.fd), key=os.fsencode)
        if self._delete:
            kept = set(names)
            for name in os.listdir(target.fd):
                if name not in kept:
                    remove_tree(name, dir_fd=target.fd)
        return iter(names)

    def _leave(self, source: Descent, target: Descent, status: os.stat_result) -> None:
        done = os.dup(target.fd)
        try:
            self._copy_xattrs(source.fd, done, status)
            source.leave()
            target.leave()  # while the mode still permits it
            os.fchmod(done, stat.S_IMODE(status.st_mode))
            os.utime(done, ns=self._times(status))
        finally:
            os.close(done)

    def _file(self, source: int, target: int, name: str, path: str, status: os.stat_result) -> None:
        _make_room(target, name)
        part = f".lamina-{os.urandom(6).hex()}"
        try:
            self._make(source, target, name, part, path, status)
            os.rename(part, name, src_dir_fd=target, dst_dir_fd=target)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(part, dir_fd=target)
            raise
        if self._progress is not None:
            self._progress(self.copied)

    def _make(
        self, source: int, target: int, name: str, part: str, path: str, status: os.stat_result
    ) -> None:
        """Make the new file under a temporary name."""
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source), part, dir_fd=target)
            self._date(part, target, status)
            return
        identity = (status.st_dev, status.st_ino)
        first = self._links.get(identity)
        if first is not None:
            os.link(first, part, src_dir_fd=self._top, dst_dir_fd=target, follow_symlinks=False)
            return
        if status.st_nlink > 1:
            self._links[identity] = path
        if kind != stat.S_IFREG:
            os.mknod(part, kind | 0o600, status.st_rdev, dir_fd=target)
            os.chmod(part, stat.S_IMODE(status.st_mode), dir_fd=target)
            self._date(part, target, status)
            return
        reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            writer = os.open(part, flags, 0o600, dir_fd=target)
            try:
                clone_bytes(reader, writer)
                self._copy_xattrs(reader, writer, status)
                os.fchmod(writer, stat.S_IMODE(status.st_mode))
                os.utime(writer, ns=self._times(status))
            finally:
                os.close(writer)
        finally:
            os.close(reader)
        self.copied += status.st_size

    def _copy_xattrs(self, source: int, target: int, status: os.stat_result) -> None:
        """Copy extended attributes, except those that the user's file system does not support."""
        try:
            names = os.listxattr(source)
        except OSError:
            return
        for name in names:
            if name != _SELINUX and not self._metadata.hides(name, status.st_mode):
                with suppress(OSError):
                    os.setxattr(target, name, os.getxattr(source, name))

    def _times(self, status: os.stat_result) -> tuple[int, int]:
        mtime = status.st_mtime_ns if self._mtime_ns is None else self._mtime_ns
        return mtime, mtime

    def _date(self, name: str, target: int, status: os.stat_result) -> None:
        os.utime(name, ns=self._times(status), dir_fd=target, follow_symlinks=False)


def _enter(target: Descent, name: str) -> None:
    """Open the directory of that name. If it is missing or another kind of file, create it."""
    try:
        target.enter(name)
        return
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        os.unlink(name, dir_fd=target.fd)
    os.mkdir(name, 0o700, dir_fd=target.fd)
    target.enter(name)


def _make_room(folder: int, name: str) -> None:
    """Remove a directory that something else replaces. A file needs no removal before a rename."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        remove_tree(name, dir_fd=folder)


def _remove_all(folder: int) -> None:
    for name in os.listdir(folder):
        remove_tree(name, dir_fd=folder)
