"""Unpacking a layer into a directory, from which nothing in it can escape.

Every entry is made relative to a directory descriptor that was reached without following a
link, so an archive that plants a link and then writes through it writes nowhere else: the link
is refused as a parent.
"""

from __future__ import annotations

import errno
import os
import stat
from enum import Enum, auto
from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt
from lamina.layers.entry import OPAQUE, WHITEOUT
from lamina.layers.reader import ByteReader, TarReader

if TYPE_CHECKING:
    from lamina.layers.entry import Entry
    from lamina.system.cancel import Cancellation

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_MAX_OPEN = 256


class Whiteouts(Enum):
    """What becomes of whiteouts: overlayfs's own marks, or removal of what is there."""

    OVERLAY = auto()
    REMOVE = auto()


def apply_layer(
    stream: ByteReader, directory: str, whiteouts: Whiteouts, cancel: Cancellation
) -> list[str]:
    """Unpack a plain tar stream into `directory`.

    Returns the parent directories that entries implied but the layer does not hold; they were
    made 0755 root and want the metadata of the same directories below. Raises Corrupt.
    """
    with _Unpacking(directory, whiteouts) as unpacking:
        reader = TarReader(stream)
        for entry in reader:
            cancel.check()
            unpacking.add(entry, reader)
        return unpacking.finish()


class _Unpacking:
    def __init__(self, directory: str, whiteouts: Whiteouts) -> None:
        self._directory = directory
        self._root = os.open(directory, _DIRECTORY)
        self._whiteouts = whiteouts
        self._open: dict[str, int] = {}
        self._made: dict[str, Entry | None] = {}

    def __enter__(self) -> _Unpacking:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()
        os.close(self._root)

    def add(self, entry: Entry, reader: TarReader) -> None:
        path = _clean(entry.path)
        if not path:
            self._made[""] = entry
            return
        parent, _, name = path.rpartition("/")
        folder = self._folder(parent)
        if name.startswith(WHITEOUT):
            self._white_out(folder, parent, name)
            return
        kind = entry.kind
        if kind == stat.S_IFDIR:
            self._make_directory(folder, path, name, entry)
            return
        if kind == stat.S_IFREG and not entry.hard_link:
            self._make_file(folder, path, name, entry, reader)
            return
        self._clear(folder, path, name)
        if entry.hard_link:
            self._make_hard_link(folder, name, entry)
            return
        if kind == stat.S_IFLNK:
            os.symlink(entry.link, name, dir_fd=folder)
        else:
            device = os.makedev(entry.rdev_major, entry.rdev_minor)
            os.mknod(name, entry.mode, device, dir_fd=folder)
            os.chmod(name, entry.mode & 0o7777, dir_fd=folder)
        os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
        if kind != stat.S_IFLNK and entry.mode & 0o6000:
            os.chmod(name, entry.mode & 0o7777, dir_fd=folder)
        if entry.xattrs:
            _set_xattrs(f"/proc/self/fd/{folder}/{name}", entry)
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(name, ns=times, dir_fd=folder, follow_symlinks=False)

    def finish(self) -> list[str]:
        """Directories' times, deepest first, now that nothing is written to them any more."""
        implied = []
        for path, entry in sorted(
            self._made.items(), key=lambda item: item[0].count("/"), reverse=True
        ):
            if entry is None:
                implied.append(path)
                continue
            if not path:
                os.fchown(self._root, entry.uid, entry.gid)
                os.fchmod(self._root, entry.mode & 0o7777)
                os.utime(self._root, ns=(entry.mtime_ns, entry.mtime_ns))
                continue
            fd = self._folder(path)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        return implied[::-1]

    def _make_file(
        self, folder: int, path: str, name: str, entry: Entry, reader: TarReader
    ) -> None:
        try:
            fd = os.open(name, _CREATE, 0o600, dir_fd=folder)
        except FileExistsError:
            self._clear(folder, path, name)
            fd = os.open(name, _CREATE, 0o600, dir_fd=folder)
        try:
            for chunk in reader.content():
                view = memoryview(chunk)
                while view:
                    view = view[os.write(fd, view) :]
            if entry.uid or entry.gid:
                os.fchown(fd, entry.uid, entry.gid)
            os.fchmod(fd, entry.mode & 0o7777)
            if entry.xattrs:
                _set_xattrs(fd, entry)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)

    def _make_directory(self, folder: int, path: str, name: str, entry: Entry) -> None:
        try:
            os.mkdir(name, 0o755, dir_fd=folder)
        except FileExistsError:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                self._clear(folder, path, name)
                os.mkdir(name, 0o755, dir_fd=folder)
        self._made[path] = entry
        fd = self._folder(path)
        os.fchown(fd, entry.uid, entry.gid)
        os.fchmod(fd, entry.mode & 0o7777)
        if entry.xattrs:
            _set_xattrs(fd, entry)

    def _make_hard_link(self, folder: int, name: str, entry: Entry) -> None:
        target = _clean(entry.hard_link)
        target_parent, _, target_name = target.rpartition("/")
        try:
            os.link(
                target_name,
                name,
                src_dir_fd=self._folder(target_parent),
                dst_dir_fd=folder,
                follow_symlinks=False,
            )
        except FileNotFoundError:
            raise Corrupt(
                f"malformed layer: {entry.path} is a hard link to {entry.hard_link}, "
                "which is not in it"
            ) from None

    def _white_out(self, folder: int, parent: str, name: str) -> None:
        if name == OPAQUE:
            if self._whiteouts is Whiteouts.OVERLAY:
                os.setxattr(folder, "trusted.overlay.opaque", b"y")
            else:
                for child in os.listdir(folder):
                    child_path = f"{parent}/{child}" if parent else child
                    if child_path not in self._made:
                        self._clear(folder, child_path, child)
            return
        hidden = name[len(WHITEOUT) :]
        if hidden in ("", ".", "..") or name.startswith(WHITEOUT + WHITEOUT):
            return  # AUFS's own bookkeeping
        self._clear(folder, f"{parent}/{hidden}" if parent else hidden, hidden)
        if self._whiteouts is Whiteouts.OVERLAY:
            os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=folder)

    def _folder(self, path: str) -> int:
        """A descriptor of a directory beneath the root, made if it is missing."""
        if not path:
            return self._root
        known = self._open.get(path)
        if known is not None:
            return known
        parent, _, name = path.rpartition("/")
        above = self._folder(parent)
        try:
            fd = os.open(name, _DIRECTORY, dir_fd=above)
        except FileNotFoundError:
            os.mkdir(name, 0o755, dir_fd=above)
            self._made.setdefault(path, None)
            fd = os.open(name, _DIRECTORY, dir_fd=above)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            raise Corrupt(
                f"malformed layer: an entry lies below {path}, which is not a directory"
            ) from None
        if len(self._open) >= _MAX_OPEN:
            keep = self._chain(parent)
            for other in [p for p in self._open if p not in keep]:
                os.close(self._open.pop(other))
        self._open[path] = fd
        return fd

    def _chain(self, path: str) -> set[str]:
        chain = set()
        while path:
            chain.add(path)
            path = path.rpartition("/")[0]
        return chain

    def _clear(self, folder: int, path: str, name: str) -> None:
        """Remove what is at a name, whatever it is."""
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.EPERM):
                raise
            import shutil

            prefix = f"{path}/"
            for other in [p for p in self._open if p == path or p.startswith(prefix)]:
                os.close(self._open.pop(other))
            for other in [p for p in self._made if p == path or p.startswith(prefix)]:
                del self._made[other]
            shutil.rmtree(name, dir_fd=folder)

    def _close(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()


def _clean(path: str) -> str:
    """A relative path without `.` parts. Raises Corrupt for one that leaves the root."""
    if "/../" not in f"/{path}/" and "//" not in path and "./" not in path:
        return path.strip("/") if path != "." else ""
    parts: list[str] = []
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part == "..":
            raise Corrupt(f"malformed layer: {path} points outside")
        parts.append(part)
    return "/".join(parts)


def _set_xattrs(target: str | int, entry: Entry) -> None:
    for name, value in entry.xattrs:
        if name.startswith("trusted.overlay."):
            continue
        try:
            if isinstance(target, int):
                os.setxattr(target, name, value)
            else:
                os.setxattr(target, name, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise
