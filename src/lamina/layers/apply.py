"""Unpacks a layer into a directory. No entry can be written outside of it.

Every entry is made relative to a directory descriptor that was opened without following links. If
the parent of an entry is a link, from this layer or one below, it is resolved here, with the
directory as its root. So images with `lib -> usr/lib` and then `lib/x` are unpacked correctly, and
an archive that contains a link and then a path through it stays inside.
"""

from __future__ import annotations

import errno
import os
import stat
from enum import Enum, auto
from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt, from_os_error
from lamina.base.named_tuple import NamedTuple
from lamina.layers.decompression import ReadAhead
from lamina.layers.entry import OPAQUE, WHITEOUT
from lamina.layers.folders import Folders, clean_path
from lamina.layers.reader import ByteReader, TarReader
from lamina.layers.stack import Stack, is_whiteout, make_opaque
from lamina.system.file_metadata import KERNEL_METADATA
from lamina.system.removal import remove_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.layers.entry import Entry
    from lamina.system.cancel import Cancellation
    from lamina.system.file_metadata import FileMetadata

_CREATE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_ZEROS = bytes(1 << 18)
_HOLE = 1 << 12


class Whiteouts(Enum):
    """How whiteouts are applied: as overlayfs marks, or by removing what they hide."""

    OVERLAY = auto()
    REMOVE = auto()


class Applied(NamedTuple):
    """The result of unpacking a layer.

    `implied` are the parent directories that are neither in the layer nor below; they were created
    as 0755 root, and the caller may set other metadata. `whole` says whether the directory has all
    whiteouts of the layer. Whiteouts that hide nothing are left out (overlayfs would list them), so
    on another parent the directory would hide less than the layer.
    """

    implied: list[str]
    whole: bool


def apply_layer(
    stream: ByteReader,
    directory: str,
    whiteouts: Whiteouts,
    cancel: Cancellation,
    lowers: Sequence[str] | None = None,
    subject: str = "layer",
    metadata: FileMetadata = KERNEL_METADATA,
) -> Applied:
    """Unpack a plain tar stream into `directory`.

    Args:
        whiteouts: OVERLAY for an empty directory that will be stacked, REMOVE for a copy of
            the parent.
        lowers: the directories below it, lowest first; None if they are not known. Implied
            parents, targets of hard links and hidden paths are looked up in them.
        subject: the name of the stream in messages.
        metadata: how the files of the directory have their metadata.

    Raises Corrupt if it is malformed or leads outside, Exhausted if the disk is full.
    """
    with (
        ReadAhead(stream) as ahead,
        Folders(directory, lowers or (), subject, metadata) as folders,
    ):
        below = None if lowers is None else Stack(lowers, metadata)
        unpacking = _Unpacking(folders, whiteouts, below, cancel, subject, metadata)
        reader = TarReader(ahead)
        for entry in reader:
            cancel.check()
            try:
                unpacking.add(entry, reader)
            except OSError as error:
                error.filename = error.filename2 = None
                if error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP):
                    raise Corrupt(f"malformed {subject}: {entry.path}: {error.strerror}") from error
                raise from_os_error(error, f"unpack {entry.path}") from error
        return Applied(unpacking.finish(), unpacking.whole)


class _Unpacking:
    def __init__(
        self,
        folders: Folders,
        whiteouts: Whiteouts,
        below: Stack | None,
        cancel: Cancellation,
        subject: str,
        metadata: FileMetadata,
    ) -> None:
        self._subject = subject
        self._metadata = metadata
        self._malformed = f"malformed {subject}"
        self.whole = True
        self._folders = folders
        self._below = below
        self._overlay = whiteouts is Whiteouts.OVERLAY
        self._cancel = cancel
        self._directories: dict[str, Entry] = {}
        # What this layer created, which its own whiteouts do not hide. In an overlay directory
        # that is everything.
        self._made: set[str] = set()
        # What hard links of this layer refer to in lower layers, copied into the overlay
        # directory. The layer does not contain it, so its whiteouts hide it.
        self._copied: set[str] = set()
        self._moved: dict[str, str] = {}  # the first link to each file that the layer hides

    def add(self, entry: Entry, reader: TarReader) -> None:
        named = clean_path(entry.path, self._subject)
        if not named:
            self._directories[""] = entry
            return
        parent, _, name = named.rpartition("/")
        folder, parent = self._folders.open(parent)
        path = f"{parent}/{name}" if parent else name
        if name.startswith(WHITEOUT):
            self._white_out(folder, parent, name)
            return
        if not self._overlay:
            self._made.add(path)
        self._copied.discard(path)
        kind = entry.kind
        if kind == stat.S_IFDIR:
            self._make_directory(folder, path, name, entry)
        elif entry.hard_link:
            self._make_hard_link(folder, path, name, entry)
        elif kind == stat.S_IFREG:
            self._make_file(folder, path, name, entry, reader)
        else:
            self._make_special(folder, path, name, entry)

    def finish(self) -> list[str]:
        """Set the times of directories, after the last write to them."""
        implied = []
        for path, times in self._folders.implied():
            if path in self._directories:
                continue
            if times is None:
                implied.append(path)
            else:
                os.utime(self._folders.open(path)[0], ns=times)
        for path, entry in self._directories.items():
            fd = self._folders.open(path)[0]
            if not path:
                self._dress_folder(fd, entry)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        return implied

    def _make_file(
        self, folder: int, path: str, name: str, entry: Entry, reader: TarReader
    ) -> None:
        try:
            fd = os.open(name, _CREATE, 0o600, dir_fd=folder)
        except FileExistsError:
            self._clear(folder, path, name)
            fd = os.open(name, _CREATE, 0o600, dir_fd=folder)
        try:
            at = 0
            for offset, chunk in reader.extents():
                self._cancel.check()
                size = len(chunk)
                if size >= _HOLE and chunk == _ZEROS[:size]:
                    continue  # a hole
                if offset != at:
                    os.lseek(fd, offset, os.SEEK_SET)
                at = offset + os.write(fd, chunk)
                while at < offset + size:
                    at += os.write(fd, memoryview(chunk)[at - offset :])
            if at < entry.size:
                os.ftruncate(fd, entry.size)
            if entry.uid or entry.gid:
                self._metadata.own(fd, entry.uid, entry.gid)
            os.fchmod(fd, entry.mode & 0o7777)
            if entry.xattrs:
                self._set_xattrs(fd, entry)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)

    def _make_directory(self, folder: int, path: str, name: str, entry: Entry) -> None:
        hides = False
        try:
            os.mkdir(name, 0o755, dir_fd=folder)
        except FileExistsError:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                hides = is_whiteout(status)
                self._clear(folder, path, name)
                os.mkdir(name, 0o755, dir_fd=folder)
        self._directories[path] = entry
        fd = self._folders.open(path)[0]
        self._dress_folder(fd, entry)
        if hides and self._overlay:
            make_opaque(fd, self._metadata)

    def _dress_folder(self, fd: int, entry: Entry) -> None:
        self._metadata.own(fd, entry.uid, entry.gid)
        os.fchmod(fd, entry.mode & 0o7777)
        if entry.xattrs:
            self._set_xattrs(fd, entry)

    def _make_special(self, folder: int, path: str, name: str, entry: Entry) -> None:
        self._clear(folder, path, name)
        if entry.kind == stat.S_IFLNK:
            os.symlink(entry.link, name, dir_fd=folder)
            self._metadata.own(name, entry.uid, entry.gid, dir_fd=folder)
        else:
            device = os.makedev(entry.rdev_major, entry.rdev_minor)
            owner = (entry.uid, entry.gid)
            self._metadata.make_node(name, entry.mode, device, owner, dir_fd=folder)
        if entry.xattrs:
            self._set_xattrs(f"/proc/self/fd/{folder}/{name}", entry)
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(name, ns=times, dir_fd=folder, follow_symlinks=False)

    def _set_xattrs(self, target: str | int, entry: Entry) -> None:
        for name, value in entry.xattrs:
            if self._metadata.hides(name, entry.mode):
                continue
            try:
                if isinstance(target, int):
                    os.setxattr(target, name, value)
                else:
                    os.setxattr(target, name, value, follow_symlinks=False)
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.EPERM):
                    raise

    def _make_hard_link(self, folder: int, path: str, name: str, entry: Entry) -> None:
        target_parent, _, target_name = clean_path(entry.hard_link, self._subject).rpartition("/")
        here = os.dup(folder)  # the lookup of the target may close descriptors
        try:
            there, real_parent = self._folders.open(target_parent)
            target = f"{real_parent}/{target_name}" if real_parent else target_name
            if target == path:
                raise Corrupt(f"{self._malformed}: {entry.path} is a hard link to itself")
            try:
                status = os.stat(target_name, dir_fd=there, follow_symlinks=False)
            except FileNotFoundError:
                if not self._folders.copy_up(there, real_parent, target_name):
                    raise Corrupt(
                        f"{self._malformed}: {entry.path} is a hard link to {entry.hard_link}, "
                        "which is missing"
                    ) from None
                if self._overlay:
                    self._copied.add(target)
            else:
                if (
                    self._overlay
                    and is_whiteout(status)
                    and self._link_hidden(here, path, name, target)
                ):
                    return
                if stat.S_ISDIR(status.st_mode) or is_whiteout(status):
                    raise Corrupt(f"{self._malformed}: {entry.path} is a hard link to no file")
            there = os.dup(there)
            try:
                self._clear(here, path, name)
                os.link(target_name, name, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)
            finally:
                os.close(there)
        finally:
            os.close(here)

    def _link_hidden(self, folder: int, path: str, name: str, target: str) -> bool:
        """Link to a file below that a whiteout of this layer hides. Returns whether it is there."""
        first = self._moved.get(target)
        if first is None:
            self._clear(folder, path, name)
            found = self._folders.copy_from_below(target, folder, name)
            if found:
                self._moved[target] = path
            return found
        parent, _, first_name = first.rpartition("/")
        there = os.dup(self._folders.open(parent)[0])
        try:
            self._clear(folder, path, name)
            os.link(first_name, name, src_dir_fd=there, dst_dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:  # the layer has replaced it
            return False
        finally:
            os.close(there)
        return True

    def _drop_copied(self, path: str, *, content: bool) -> None:
        """Remove what was copied for hard links at a path and below it, with directories that were
        only made for it. With `content` the directory at the path stays."""
        prefix = f"{path}/" if path else ""
        for copied in [p for p in self._copied if p.startswith(prefix) or p == path]:
            self._copied.discard(copied)
            parent, _, name = copied.rpartition("/")
            os.unlink(name, dir_fd=self._folders.open(parent)[0])
            while parent.startswith(prefix) or (parent == path and not content):
                if not parent or parent in self._directories:
                    break
                above, _, name = parent.rpartition("/")
                try:
                    os.rmdir(name, dir_fd=self._folders.open(above)[0])
                except OSError:
                    break  # the layer has something else in it
                self._folders.forget(parent)
                parent = above

    def _white_out(self, folder: int, parent: str, name: str) -> None:
        if name == OPAQUE:
            self._hide_content(folder, parent)
            return
        hidden = name[len(WHITEOUT) :]
        if hidden in ("", ".", "..") or name.startswith(WHITEOUT + WHITEOUT):
            return  # metadata of AUFS
        path = f"{parent}/{hidden}" if parent else hidden
        # A whiteout hides lower layers, at any position among the layer's entries.
        if self._overlay:
            if not self._shows(path):
                return
            if self._copied:
                self._drop_copied(path, content=False)
                folder = self._folders.open(parent)[0]
            try:
                os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=folder)
            except FileExistsError:
                status = os.stat(hidden, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    self._hide_content(*self._folders.open(path))
        elif path in self._made:
            if path in self._directories:
                self._hide_content(*self._folders.open(path))
        else:
            self._clear(folder, path, hidden)

    def _hide_content(self, folder: int, path: str) -> None:
        """Hide the content of a directory in lower layers."""
        if self._overlay:
            if self._shows(path):
                if self._copied:
                    self._drop_copied(path, content=True)
                    folder = self._folders.open(path)[0]
                make_opaque(folder, self._metadata)
            return
        folder = os.dup(folder)
        try:
            for child in os.listdir(folder):
                child_path = f"{path}/{child}" if path else child
                if child_path not in self._made:
                    self._clear(folder, child_path, child)
                elif child_path in self._directories:
                    self._hide_content(*self._folders.open(child_path))
        finally:
            os.close(folder)

    def _shows(self, path: str) -> bool:
        """Whether there is, or may be, something to hide below."""
        if self._below is None or self._below.find(path) is not None:
            return True
        self.whole = False
        return False

    def _clear(self, folder: int, path: str, name: str) -> None:
        """Remove the file at a name, whatever its kind."""
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.EPERM):
                raise
            self._folders.forget(path)
            prefix = f"{path}/"
            for other in [p for p in self._directories if p == path or p.startswith(prefix)]:
                del self._directories[other]
            remove_tree(name, dir_fd=folder)
        else:
            self._folders.forget_links()
