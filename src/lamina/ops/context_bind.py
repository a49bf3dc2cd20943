"""A client's directory as a mount of a step, equal to BuildKit's copy of it.

All files belong to root, and the directory contains nothing that leads to the host: no sockets, no
named pipes, no mounts. A directory that meets this is mounted in place, through a read-only
overlay: overlayfs does not open sockets or pipes of its lower directories, even if they are created
later. Any other directory is copied.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.system.mount import ShortNames, mounted_overlay
from lamina.system.mount_tree import mounted, mounts_below, open_in_root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.refs.manager import RefManager
    from lamina.refs.ref import Ref
    from lamina.refs.tree import Tree
    from lamina.system.cancel import Cancellation

Owner = tuple[int, int]
_ROOT: Owner = (0, 0)
_PLAIN = frozenset((stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK))


@contextmanager
def shown(
    refs: RefManager, ref: Ref, path: str, folder: str, cancel: Cancellation
) -> Iterator[str]:
    """Show what is at `path` of a client's directory, below `folder`, during the block.

    Raises NotFound.
    """
    tree = ref.local
    assert tree is not None
    resolved, status = tree.find(path, follow=True)
    owner = common_owner(tree, resolved, status) if refs.overlay else None
    if owner is not None:
        try:
            live = _live(tree.root, resolved, owner, folder)
            place = live.__enter__()
        except LaminaError:
            pass  # the file system cannot be a lower directory, or does not support idmapped mounts
        else:
            try:
                yield place
            finally:
                live.__exit__(None, None, None)
            return
    copy = refs.tree(refs.copied(ref, cancel, resolved), cancel)
    fd = open_in_root(copy.root, resolved)
    try:
        with mounted(fd, folder) as place:
            yield place
    finally:
        os.close(fd)


def common_owner(tree: Tree, path: str, status: os.stat_result) -> Owner | None:
    """The owner of all files at and below a path, if they can be mounted in place.

    None: there are several owners, or sockets, pipes, devices, mounts, or files that the client
    excludes. Files that a daemon received from a client keep the owners that they have.
    """
    if tree.owner is None and not tree.filtered:
        return _ROOT
    if tree.owner != _ROOT or mounts_below(tree.real(path)):
        return None
    owner = (status.st_uid, status.st_gid)
    if stat.S_IFMT(status.st_mode) not in _PLAIN:
        return None
    folders = [path] if stat.S_ISDIR(status.st_mode) else []
    while folders:
        folder = folders.pop()
        children = tree.children(folder)
        if tree.filtered and len(os.listdir(tree.real(folder))) != len(children):
            return None
        for name, status in children:
            kind = stat.S_IFMT(status.st_mode)
            if (status.st_uid, status.st_gid) != owner or kind not in _PLAIN:
                return None
            if kind == stat.S_IFDIR:
                folders.append(f"{folder}/{name}" if folder else name)
    return owner


@contextmanager
def _live(root: str, path: str, owner: Owner, folder: str) -> Iterator[str]:
    fd = open_in_root(root, path)
    try:
        with mounted(fd, folder, owner=None if owner == _ROOT else owner) as place:
            if not os.path.isdir(place):
                yield place
                return
            base = os.path.join(folder, f"o-{os.urandom(8).hex()}")
            empty, target = os.path.join(base, "empty"), os.path.join(base, "shown")
            for made in (base, empty, target):
                os.mkdir(made, 0o700)
            try:
                # A read-only overlay needs at least two directories.
                with mounted_overlay([place, empty], None, None, target, ShortNames(base)):
                    yield target
            finally:
                for made in (target, empty, base):
                    os.rmdir(made)
    finally:
        os.close(fd)
