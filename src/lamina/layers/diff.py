"""What directories hold, as layer entries: a tree, an overlay upper, or two trees apart."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from lamina.layers.entry import Entry, opaque, whiteout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from hashlib import _Hash

    from lamina.layers.pack import Member

_OPAQUE_XATTR = "trusted.overlay.opaque"
_PRIVATE_XATTRS = "trusted.overlay."


class FileContent:
    """A regular file in a snapshot, which nobody changes."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def open(self) -> int:
        return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def begin(self, status: os.stat_result) -> None:
        return None

    def check(self, hashed: _Hash | None) -> None:
        """Nothing to check."""


def upper_members(upper: str, lowers: Sequence[str] = ()) -> Iterator[Member]:
    """The difference that an overlayfs upper directory is, as a layer's members.

    Character devices 0/0 become whiteouts; opaque directories get their marker (OCI image
    spec, `layer.md`). A directory that overlayfs copied up from `lowers` (lowest first), and in
    which nothing is different after all, is no difference.
    """
    yield from _Walk(upper, overlay=True, lowers=lowers).members("")


def tree_members(root: str) -> Iterator[Member]:
    """A whole tree."""
    yield from _Walk(root, overlay=False).members("")


def changed_members(lower: str, upper: str) -> Iterator[Member]:
    """What turns the tree `lower` into the tree `upper`."""
    walk = _Walk(upper, overlay=False)
    yield from _compare(walk, lower, "")


class _Walk:
    def __init__(self, root: str, *, overlay: bool, lowers: Sequence[str] = ()) -> None:
        self.root = root
        self._overlay = overlay
        self._lowers = lowers
        self._links: dict[tuple[int, int], str] = {}

    def members(self, path: str) -> Iterator[Member]:
        for name, status in children(self._real(path)):
            child = f"{path}/{name}" if path else name
            if not stat.S_ISDIR(status.st_mode):
                yield from self.member(child, status)
                continue
            hides = self._overlay and self._is_opaque(child)
            below = self.members(child)
            first = next(below, None)
            if first is None and not hides and self._was_so(child, status):
                continue
            yield from self.member(child, status)
            if hides:
                yield opaque(child), None
            if first is not None:
                yield first
                yield from below

    def _was_so(self, path: str, status: os.stat_result) -> bool:
        """Whether the directory below is the same in all but what it holds."""
        for lower in reversed(self._lowers):
            known = os.path.join(lower, path)
            try:
                before = os.lstat(known)
            except (FileNotFoundError, NotADirectoryError):
                continue
            return (
                (before.st_mode, before.st_uid, before.st_gid, before.st_mtime_ns)
                == (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns)
            ) and _xattrs(known) == _xattrs(self._real(path))
        return False

    def member(self, path: str, status: os.stat_result) -> Iterator[Member]:
        """The entry itself, without what is below it; nothing for a socket."""
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFSOCK:
            return
        if self._overlay and kind == stat.S_IFCHR and status.st_rdev == 0:
            yield whiteout(path), None
            return
        real = self._real(path)
        entry = Entry(
            path,
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            xattrs=_xattrs(real),
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

    def _is_opaque(self, path: str) -> bool:
        try:
            return os.getxattr(self._real(path), _OPAQUE_XATTR, follow_symlinks=False) == b"y"
        except OSError:
            return False


def children(path: str) -> list[tuple[str, os.stat_result]]:
    """(name, status) of what is in a folder, by name's bytes."""
    with os.scandir(path) as entries:
        found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    found.sort(key=lambda item: os.fsencode(item[0]))
    return found


def _compare(walk: _Walk, lower: str, path: str) -> Iterator[Member]:
    upper_path = f"{walk.root}/{path}" if path else walk.root
    lower_path = f"{lower}/{path}" if path else lower
    above = dict(children(upper_path))
    below = dict(children(lower_path)) if os.path.isdir(lower_path) else {}
    for name in sorted({*above, *below}, key=os.fsencode):
        child = f"{path}/{name}" if path else name
        new, old = above.get(name), below.get(name)
        if new is None:
            yield whiteout(child), None
            continue
        is_directory = stat.S_ISDIR(new.st_mode)
        if old is not None and stat.S_ISDIR(old.st_mode) and is_directory:
            inner = list(_compare(walk, lower, child))
            if inner or not _same_metadata(walk.root, lower, child, new, old):
                yield from walk.member(child, new)
            yield from inner
            continue
        if old is not None and _unchanged(walk.root, lower, child, new, old):
            continue
        yield from walk.member(child, new)
        if is_directory:
            yield from walk.members(child)


def _same_metadata(
    upper: str, lower: str, path: str, new: os.stat_result, old: os.stat_result
) -> bool:
    return (new.st_mode, new.st_uid, new.st_gid, new.st_mtime_ns, new.st_rdev) == (
        old.st_mode,
        old.st_uid,
        old.st_gid,
        old.st_mtime_ns,
        old.st_rdev,
    ) and _xattrs(f"{upper}/{path}") == _xattrs(f"{lower}/{path}")


def _unchanged(upper: str, lower: str, path: str, new: os.stat_result, old: os.stat_result) -> bool:
    if not _same_metadata(upper, lower, path, new, old) or new.st_size != old.st_size:
        return False
    if stat.S_ISLNK(new.st_mode):
        return os.readlink(f"{upper}/{path}") == os.readlink(f"{lower}/{path}")
    if not stat.S_ISREG(new.st_mode):
        return True
    with open(f"{upper}/{path}", "rb") as one, open(f"{lower}/{path}", "rb") as other:
        while chunk := one.read(1 << 20):
            if chunk != other.read(1 << 20):
                return False
    return True


def _xattrs(path: str) -> tuple[tuple[str, bytes], ...]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return ()
    return tuple(
        (name, os.getxattr(path, name, follow_symlinks=False))
        for name in sorted(names)
        if not name.startswith(_PRIVATE_XATTRS) and name != "security.selinux"
    )
