"""The overlayfs snapshotter: a commit is a rename, as the upper directory is the difference."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.system import mount
from lamina.system.directory import make_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.stores.snapshots import Staged


class OverlaySnapshotter:
    """`names` is for stacks of many layers."""

    kind = "overlay"

    def __init__(self, names: mount.ShortNames) -> None:
        self._names = names

    def view(self, lowers: Sequence[str], target: str) -> str:
        if len(lowers) == 1:
            return lowers[0]
        if lowers:
            mount.mount_overlay(tuple(reversed(lowers)), None, None, target, self._names)
        return target

    def drop(self, view: str) -> None:
        if os.path.ismount(view):
            mount.unmount(view)
            os.rmdir(view)

    def stage(self, lowers: Sequence[str], staged: Staged) -> None:
        make_directory(staged.work, 0o711)
        if lowers:
            # The root of the difference shows instead of the roots below it.
            below = os.stat(lowers[-1])
            os.chown(staged.files, below.st_uid, below.st_gid)
            os.chmod(staged.files, stat.S_IMODE(below.st_mode))
            os.utime(staged.files, ns=(below.st_atime_ns, below.st_mtime_ns))

    @contextmanager
    def writable(self, lowers: Sequence[str], staged: Staged, target: str) -> Iterator[str]:
        if not lowers:
            yield staged.files
            return
        upper, work = staged.files, staged.work
        mount.mount_overlay(tuple(reversed(lowers)), upper, work, target, self._names)
        try:
            yield target
        finally:
            mount.unmount(target)
