"""The native snapshotter, for file systems on which overlayfs does not work.

The directory of a snapshot holds the whole file system: a copy of the parent's directory, with the
changes. Files are reflinked where the file system supports it. Slower and larger than overlay.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.system.clone import clone_tree

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


class NativeSnapshotter:
    """Implements `lamina.refs.snapshotter.Snapshotter`."""

    overlay = False

    def __init__(self, metadata: FileMetadata) -> None:
        self.metadata = metadata

    def view(self, stack: Sequence[str], target: str) -> str:
        return stack[-1] if stack else target

    def drop(self, view: str) -> None:
        """Do nothing: nothing is mounted."""

    def stage(self, lowers: Sequence[str], staged: Staged) -> None:
        if lowers:
            os.rmdir(staged.files)
            clone_tree(lowers[-1], staged.files)

    @contextmanager
    def writable(self, lowers: Sequence[str], staged: Staged, target: str) -> Iterator[str]:
        yield staged.files

    def drop_unchanged(self, lowers: Sequence[str], staged: Staged) -> None:
        """Do nothing: the directory contains everything."""

    def lay_out(self, plan: FilePlan, staged: Staged, cancel: Cancellation) -> None:
        from lamina.refs.layout import Layout

        Layout(plan, staged.files, cancel, self.metadata, overlay=False).run()

    def unpack(
        self, tar: ByteReader, lowers: Sequence[str], staged: Staged, cancel: Cancellation
    ) -> Applied:
        from lamina.layers.apply import Whiteouts, apply_layer

        return apply_layer(tar, staged.files, Whiteouts.REMOVE, cancel, metadata=self.metadata)

    def pack(
        self,
        stack: Sequence[str],
        blobs: BlobStore,
        compression: Compression,
        cancel: Cancellation,
    ) -> Layer:
        from lamina.refs.packing import pack_change, pack_upper

        if len(stack) > 1:
            return pack_change(stack[-2], stack[-1], blobs, compression, cancel, self.metadata)
        return pack_upper(stack[-1], (), blobs, compression, cancel, self.metadata)

    def portable(self, stack: Sequence[str]) -> bool:
        return False
