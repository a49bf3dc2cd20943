"""The content of directories as layer entries: a tree, an overlay upper, or a difference."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from lamina.layers.entry import Entry, whiteout
from lamina.layers.stack import Stack, is_opaque, is_whiteout, marks_gone
from lamina.system.file_metadata import KERNEL_METADATA

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from hashlib import _Hash

    from lamina.layers.pack import Member
    from lamina.layers.stack import Found
    from lamina.system.file_metadata import FileMetadata


class FileContent:
    """A regular file in a snapshot. Snapshots do not change."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def open(self) -> int:
        return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def begin(self, status: os.stat_result) -> None:
        return None

    def check(self, hashed: _Hash | None) -> None:
        """Do nothing: snapshots do not change."""


def upper_members(
    upper: str, lowers: Sequence[str] = (), metadata: FileMetadata = KERNEL_METADATA
) -> Iterator[Member]:
    """The difference in an overlayfs upper directory, as members of a layer.

    Character devices 0/0 become whiteouts. So does every path of `lowers` (lowest first) that an
    opaque directory hides, by its name. A directory that overlayfs copied up without any change in
    it is left out (in BuildKit too, even if its time differs).
    """
    yield from _Walk(upper, metadata, overlay=True, lowers=lowers).members("")


def tree_members(root: str, metadata: FileMetadata = KERNEL_METADATA) -> Iterator[Member]:
    """A whole tree."""
    yield from _Walk(root, metadata, overlay=False).members("")


def changed_members(
    lower: str, upper: str, metadata: FileMetadata = KERNEL_METADATA
) -> Iterator[Member]:
    """The difference between two trees, as members of a layer."""
    walk = _Walk(upper, metadata, overlay=False)
    yield from _compare(walk, lower)


def portable(upper: str, lowers: Sequence[str], metadata: FileMetadata = KERNEL_METADATA) -> bool:
    """Whether an overlay directory on `lowers` is the same difference on top of other parents.

    It is not if it hides something, because overlayfs lists whiteouts that hide nothing, or if it
    has directories from below without changes in them.
    """
    below = Stack(lowers, metadata)
    todo = [""]
    while todo:
        path = todo.pop()
        folder = f"{upper}/{path}" if path else upper
        if is_opaque(folder, metadata):
            return False
        empty = True
        with os.scandir(folder) as entries:
            for entry in entries:
                empty = False
                if entry.is_dir(follow_symlinks=False):
                    todo.append(f"{path}/{entry.name}" if path else entry.name)
                elif marks_gone(entry):
                    return False
        if empty and path:
            found = below.find(path)
            if _same_folder(folder, os.lstat(folder), found, metadata):
                return False
    return True


def _same_folder(
    upper: str, new: os.stat_result, found: Found | None, metadata: FileMetadata
) -> bool:
    """Whether there is an equal directory below. Its time is ignored: entries may have been added
    and removed again."""
    if found is None:
        return False
    lower, old = found
    new, old = metadata.status(upper, new), metadata.status(lower, old)
    same = (new.st_mode, new.st_uid, new.st_gid) == (old.st_mode, old.st_uid, old.st_gid)
    return same and _same_xattrs(upper, lower, new, metadata)


def drop_unchanged(
    upper: str, lowers: Sequence[str], metadata: FileMetadata = KERNEL_METADATA
) -> None:
    """Remove what overlayfs copied up into `upper` and is equal to what is below."""
    below = Stack(lowers, metadata)
    levels = [_CopiedUp("", upper, below)]
    while True:
        level = levels[-1]
        name, status = next(level.children, ("", None))
        if status is not None:
            path = f"{level.path}/{name}" if level.path else name
            real = f"{upper}/{path}"
            found = below.find(path) if name in level.known else None
            if found is None:
                level.empty = False
            elif stat.S_ISDIR(status.st_mode):
                if stat.S_ISDIR(found[1].st_mode) and not is_opaque(real, metadata):
                    levels.append(_CopiedUp(path, real, below))
                else:
                    level.empty = False
            elif status.st_nlink == 1 and _unchanged(real, found[0], status, found[1], metadata):
                os.unlink(real)
                level.removed = True
            else:
                level.empty = False
            continue
        levels.pop()
        if level.removed:
            os.utime(level.folder, ns=(level.status.st_atime_ns, level.status.st_mtime_ns))
        if not levels:
            return
        found = below.find(level.path)
        if (
            level.empty
            and found
            and _same_metadata(level.folder, found[0], level.status, found[1], metadata)
        ):
            os.rmdir(level.folder)
            levels[-1].removed = True
        else:
            levels[-1].empty = False


class _CopiedUp:
    """A directory of an overlay directory that also is below. `empty`: nothing in it is kept."""

    def __init__(self, path: str, folder: str, below: Stack) -> None:
        self.path = path
        self.folder = folder
        self.known = below.names(path)
        self.status = os.lstat(folder)
        self.children = iter(children(folder))
        self.empty = True
        self.removed = False


class _Level:
    """A directory that is being walked. `replaces`: it hides the same directory below. `names` are
    its entries, `found` those below, and `gone` those that it removes."""

    __slots__ = ("found", "names", "path", "replaces", "status")

    def __init__(
        self,
        path: str,
        status: os.stat_result | None,
        found: dict[str, os.stat_result],
        gone: Collection[str],
        *,
        replaces: bool = False,
    ) -> None:
        self.path = path
        self.status = status
        self.found = found
        self.replaces = replaces
        self.names = iter(sorted({*found, *gone}, key=os.fsencode))


class _Walk:
    def __init__(
        self, root: str, metadata: FileMetadata, *, overlay: bool, lowers: Sequence[str] = ()
    ) -> None:
        self.root = root
        self.metadata = metadata
        self._overlay = overlay
        self._below = Stack(lowers, metadata)
        self._links: dict[tuple[int, int], str] = {}

    def members(self, path: str, *, replaces: bool = False) -> Iterator[Member]:
        """The members below a directory. `replaces`: the same directory below is hidden."""
        levels = [self._level(path, None, replaces=replaces)]
        pending: list[_Level] = []  # the lowest directories, without a difference so far
        while levels:
            level = levels[-1]
            name = next(level.names, None)
            if name is None:
                levels.pop()
                if pending and pending[-1] is level:
                    assert level.status is not None
                    if self._is_unchanged(level.path, level.status):
                        pending.pop()
                    else:
                        yield from self.emit(pending)
                continue
            child = f"{level.path}/{name}" if level.path else name
            status = level.found.get(name)
            if status is not None and stat.S_ISDIR(status.st_mode):
                hides = self._overlay and (
                    level.replaces or is_opaque(self._real(child), self.metadata)
                )
                levels.append(self._level(child, status, replaces=hides))
                pending.append(levels[-1])
                continue
            yield from self.emit(pending)
            if status is None:
                yield whiteout(child), None
            else:
                yield from self.member(child, status)

    def _level(self, path: str, status: os.stat_result | None, *, replaces: bool) -> _Level:
        found = dict(children(self._real(path)))
        gone = self._below.names(path) - found.keys() if replaces else set()
        return _Level(path, status, found, gone, replaces=replaces)

    def emit(self, pending: list[_Level]) -> Iterator[Member]:
        """Emit the parent directories of a difference."""
        for level in pending:
            assert level.status is not None
            yield from self.member(level.path, level.status)
        pending.clear()

    def _is_unchanged(self, path: str, status: os.stat_result) -> bool:
        """Whether the directory below has equal metadata."""
        return _same_folder(self._real(path), status, self._below.find(path), self.metadata)

    def member(self, path: str, status: os.stat_result) -> Iterator[Member]:
        """The member of a single entry; none for a socket."""
        if stat.S_ISSOCK(status.st_mode):
            return
        if self._overlay and is_whiteout(status):
            yield whiteout(path), None
            return
        real = self._real(path)
        status = self.metadata.status(real, status)
        kind = stat.S_IFMT(status.st_mode)
        entry = Entry(
            path,
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            xattrs=_xattrs(real, status, self.metadata),
        )
        if kind == stat.S_IFREG:
            if status.st_nlink > 1:
                first = self._links.setdefault((status.st_dev, status.st_ino), path)
                if first != path:
                    yield entry._replace(hard_link=first, xattrs=()), None
                    return
            yield entry._replace(size=status.st_size), FileContent(real)
        elif kind == stat.S_IFLNK:
            yield entry._replace(link=os.readlink(real)), None
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            device = status.st_rdev
            yield (
                entry._replace(rdev_major=os.major(device), rdev_minor=os.minor(device)),
                None,
            )
        else:
            yield entry, None

    def _real(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root


def children(path: str) -> list[tuple[str, os.stat_result]]:
    """The entries of a directory as (name, status), sorted by the bytes of names."""
    with os.scandir(path) as entries:
        found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    found.sort(key=lambda item: os.fsencode(item[0]))
    return found


def _compare(walk: _Walk, lower: str) -> Iterator[Member]:
    levels = [_compared(walk, lower, "", None)]
    pending: list[_Level] = []
    while levels:
        level, below = levels[-1]
        name = next(level.names, None)
        if name is None:
            levels.pop()
            if pending and pending[-1] is level:
                pending.pop()  # nothing in it differs, nor does it
            continue
        child = f"{level.path}/{name}" if level.path else name
        upper_place, lower_place = f"{walk.root}/{child}", f"{lower}/{child}"
        new, old = level.found.get(name), below.get(name)
        if new is None:
            yield from walk.emit(pending)
            yield whiteout(child), None
            continue
        is_directory = stat.S_ISDIR(new.st_mode)
        if old is not None and stat.S_ISDIR(old.st_mode) and is_directory:
            levels.append(_compared(walk, lower, child, new))
            pending.append(levels[-1][0])
            if not _same_metadata(upper_place, lower_place, new, old, walk.metadata):
                yield from walk.emit(pending)
            continue
        if old is not None and _unchanged(upper_place, lower_place, new, old, walk.metadata):
            continue
        yield from walk.emit(pending)
        yield from walk.member(child, new)
        if is_directory:
            yield from walk.members(child)


def _compared(
    walk: _Walk, lower: str, path: str, status: os.stat_result | None
) -> tuple[_Level, dict[str, os.stat_result]]:
    """A directory of two trees, and the entries of the lower one."""
    lower_path = f"{lower}/{path}" if path else lower
    above = dict(children(f"{walk.root}/{path}" if path else walk.root))
    below = dict(children(lower_path)) if os.path.isdir(lower_path) else {}
    return _Level(path, status, above, below), below


def _same_metadata(
    upper: str, lower: str, new: os.stat_result, old: os.stat_result, metadata: FileMetadata
) -> bool:
    new, old = metadata.status(upper, new), metadata.status(lower, old)
    return (new.st_mode, new.st_uid, new.st_gid, new.st_mtime_ns, new.st_rdev) == (
        old.st_mode,
        old.st_uid,
        old.st_gid,
        old.st_mtime_ns,
        old.st_rdev,
    ) and _same_xattrs(upper, lower, new, metadata)


def _unchanged(
    upper: str, lower: str, new: os.stat_result, old: os.stat_result, metadata: FileMetadata
) -> bool:
    if not _same_metadata(upper, lower, new, old, metadata) or new.st_size != old.st_size:
        return False
    if stat.S_ISLNK(new.st_mode):
        return os.readlink(upper) == os.readlink(lower)
    if not stat.S_ISREG(new.st_mode):
        return True
    with open(upper, "rb") as one, open(lower, "rb") as other:
        while chunk := one.read(1 << 20):
            if chunk != other.read(1 << 20):
                return False
    return True


def _same_xattrs(upper: str, lower: str, status: os.stat_result, metadata: FileMetadata) -> bool:
    """Whether two entries with equal modes have equal extended attributes."""
    return _xattrs(upper, status, metadata) == _xattrs(lower, status, metadata)


def _xattrs(
    path: str, status: os.stat_result, metadata: FileMetadata
) -> tuple[tuple[str, bytes], ...]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return ()
    return tuple(
        (name, os.getxattr(path, name, follow_symlinks=False))
        for name in sorted(names)
        if name != "security.selinux" and not metadata.hides(name, status.st_mode)
    )
