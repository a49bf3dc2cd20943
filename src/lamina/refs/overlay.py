"""The overlayfs snapshotter.

The directory of a snapshot holds the difference from its parent, in the format of an upper
directory of overlayfs. So a commit is a rename.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.system import mount
from lamina.system.directory import make_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.layers.apply import Applied
    from lamina.layers.compression import Compression
    from lamina.layers.reader import ByteReader
    from lamina.refs.plan import FilePlan
    from lamina.stores.blobs import BlobStore
    from lamina.stores.layers import Layer
    from lamina.stores.snapshots import Staged
    from lamina.system.cancel import Cancellation
    from lamina.system.file_metadata import FileMetadata


class OverlaySnapshotter:
    """Implements `lamina.refs.snapshotter.Snapshotter`.

    Args:
        names: short names of directories, for stacks whose mount options would be too long.
        metadata: how the files of snapshots have their metadata.
    """

    overlay = True

    def __init__(self, names: mount.ShortNames, metadata: FileMetadata) -> None:
        self._names = names
        self.metadata = metadata

    def view(self, stack: Sequence[str], target: str) -> str:
        if len(stack) == 1:
            return stack[0]
        if stack:
            self._mount(stack, None, None, target)
        return target

    def drop(self, view: str) -> None:
        if os.path.ismount(view):
            mount.unmount(view)
            os.rmdir(view)

    def stage(self, lowers: Sequence[str], staged: Staged) -> None:
        make_directory(staged.work, 0o711)
        if lowers:
            # The root directory of the upper directory hides those below, so it has to be equal.
            below = os.stat(lowers[-1])
            below = self.metadata.status(lowers[-1], below)
            self.metadata.own(staged.files, below.st_uid, below.st_gid)
            os.chmod(staged.files, stat.S_IMODE(below.st_mode))
            os.utime(staged.files, ns=(below.st_atime_ns, below.st_mtime_ns))

    @contextmanager
    def writable(self, lowers: Sequence[str], staged: Staged, target: str) -> Iterator[str]:
        if not lowers:
            yield staged.files
            return
        self._mount(lowers, staged.files, staged.work, target)
        try:
            yield target
        finally:
            mount.unmount(target)

    def drop_unchanged(self, lowers: Sequence[str], staged: Staged) -> None:
        if lowers:
            from lamina.layers.diff import drop_unchanged

            drop_unchanged(staged.files, lowers, self.metadata)

    def lay_out(self, plan: FilePlan, staged: Staged, cancel: Cancellation) -> None:
        from lamina.refs.layout import Layout

        Layout(plan, staged.files, cancel, self.metadata, overlay=True).run()

    def unpack(
        self, tar: ByteReader, lowers: Sequence[str], staged: Staged, cancel: Cancellation
    ) -> Applied:
        from lamina.layers.apply import Whiteouts, apply_layer

        return apply_layer(
            tar, staged.files, Whiteouts.OVERLAY, cancel, lowers, metadata=self.metadata
        )

    def pack(
        self,
        stack: Sequence[str],
        blobs: BlobStore,
        compression: Compression,
        cancel: Cancellation,
    ) -> Layer:
        from lamina.refs.packing import pack_upper

        return pack_upper(stack[-1], stack[:-1], blobs, compression, cancel, self.metadata)

    def portable(self, stack: Sequence[str]) -> bool:
        from lamina.layers.diff import portable

        return portable(stack[-1], stack[:-1], self.metadata)

    def _mount(
        self, lowers: Sequence[str], upper: str | None, work: str | None, target: str
    ) -> None:
        """Mount a stack, lowest first."""
        options = self.metadata.overlay_options
        mount.mount_overlay(tuple(reversed(lowers)), upper, work, target, self._names, options)
