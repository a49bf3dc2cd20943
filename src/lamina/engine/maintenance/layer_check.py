"""Compares a snapshot with its layer, which is unpacked again for it."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.layers.apply import Whiteouts, apply_layer
from lamina.layers.decompression import decompressed
from lamina.system.clone import clone_tree
from lamina.system.descent import walk_tree
from lamina.system.directory import make_directory
from lamina.system.removal import discard_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.stores.layers import Layer
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation
    from lamina.system.descent import Visit
    from lamina.system.file_metadata import FileMetadata

_CHUNK = 1 << 20
_IGNORED_XATTRS = ("security.selinux",)
_OVERLAY_XATTRS = ("trusted.overlay.", "user.overlay.")


@contextmanager
def unpacked(
    store: Store,
    layer: Layer,
    lowers: Sequence[str],
    cancel: Cancellation,
    metadata: FileMetadata,
    *,
    overlay: bool,
) -> Iterator[str]:
    """Unpack a layer on `lowers` into a directory, for the block. Raises Corrupt."""
    folder = os.path.join(store.scratch, f"check-{os.urandom(4).hex()}")
    if overlay or not lowers:
        make_directory(folder)
    else:
        clone_tree(lowers[-1], folder)
    try:
        style = Whiteouts.OVERLAY if overlay else Whiteouts.REMOVE
        with store.blobs.open(layer.descriptor.digest) as file:
            below = list(lowers) if overlay else None
            apply_layer(decompressed(file), folder, style, cancel, below, metadata=metadata)
        yield folder
    finally:
        discard_tree(folder)


def same_tree(one: str, other: str, cancel: Cancellation) -> bool:
    """Whether two trees have the same files.

    Compares names, kinds, owners, modes, times of files, links, devices, extended attributes and
    contents. Ignores sockets, which layers cannot contain.
    """
    mine, theirs = _entries(one), _entries(other)
    while True:
        cancel.check()
        left, right = next(mine, None), next(theirs, None)
        if left is None or right is None:
            return left is right
        if left.path != right.path or not _same(left, right, cancel):
            return False


def _entries(root: str) -> Iterator[Visit]:
    return (visit for visit in walk_tree(root) if not stat.S_ISSOCK(visit.status.st_mode))


def _same(one: Visit, other: Visit, cancel: Cancellation) -> bool:
    mine, theirs = one.status, other.status
    if (mine.st_mode, mine.st_uid, mine.st_gid, mine.st_rdev) != (
        *(theirs.st_mode, theirs.st_uid, theirs.st_gid, theirs.st_rdev),
    ):
        return False
    if _xattrs(one) != _xattrs(other):
        return False
    if stat.S_ISLNK(mine.st_mode):
        links = [os.readlink(visit.name, dir_fd=visit.folder) for visit in (one, other)]
        return links[0] == links[1]
    if not stat.S_ISREG(mine.st_mode):
        return True
    return (
        mine.st_size == theirs.st_size
        and mine.st_mtime_ns == theirs.st_mtime_ns
        and _same_content(one, other, cancel)
    )


def _same_content(one: Visit, other: Visit, cancel: Cancellation) -> bool:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    with (
        open(os.open(one.name, flags, dir_fd=one.folder), "rb") as mine,
        open(os.open(other.name, flags, dir_fd=other.folder), "rb") as theirs,
    ):
        while chunk := mine.read(_CHUNK):
            cancel.check()
            if chunk != theirs.read(_CHUNK):
                return False
        return not theirs.read(1)


def _xattrs(visit: Visit) -> dict[str, bytes]:
    path = f"/proc/self/fd/{visit.folder}/{visit.name}"
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    return {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in names
        if name not in _IGNORED_XATTRS
        and (not name.startswith(_OVERLAY_XATTRS) or name.endswith(".overlay.opaque"))
    }
