"""The port of snapshotters: how the directories of a stack of snapshots become one file system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from lamina.layers.apply import Applied
    from lamina.layers.compression import Compression
    from lamina.layers.reader import ByteReader
    from lamina.refs.plan import FilePlan
    from lamina.stores.blobs import BlobStore
    from lamina.stores.layers import Layer
    from lamina.stores.snapshots import Staged
    from lamina.system.cancel import Cancellation
    from lamina.system.file_metadata import FileMetadata


class Snapshotter(Protocol):
    """Decides what the directory of a snapshot holds: its difference (overlay) or all (native).

    `stack` and `lowers` are the directories of a snapshot (`fs` directories) from the lowest to its
    own.
    """

    @property
    def overlay(self) -> bool:
        """Whether overlayfs works on the file system of the store."""
        ...

    @property
    def metadata(self) -> FileMetadata:
        """How the files of snapshots have their metadata."""
        ...

    def view(self, stack: Sequence[str], target: str) -> str:
        """Make a stack readable, and return where. May mount on `target`, an empty directory."""
        ...

    def drop(self, view: str) -> None:
        """Undo `view`; the argument is what it returned."""
        ...

    def stage(self, lowers: Sequence[str], staged: Staged) -> None:
        """Prepare an empty `staged` for a snapshot on top of `lowers`."""
        ...

    def writable(
        self, lowers: Sequence[str], staged: Staged, target: str
    ) -> AbstractContextManager[str]:
        """Make `staged` on top of `lowers` writable during the block; yields where."""
        ...

    def drop_unchanged(self, lowers: Sequence[str], staged: Staged) -> None:
        """Remove from `staged` what a writable mount copied into it and did not change."""
        ...

    def lay_out(self, plan: FilePlan, staged: Staged, cancel: Cancellation) -> None:
        """Make the changes of a plan in `staged`."""
        ...

    def unpack(
        self, tar: ByteReader, lowers: Sequence[str], staged: Staged, cancel: Cancellation
    ) -> Applied:
        """Make the changes of an uncompressed layer in `staged`."""
        ...

    def pack(
        self,
        stack: Sequence[str],
        blobs: BlobStore,
        compression: Compression,
        cancel: Cancellation,
    ) -> Layer:
        """Pack the difference between the topmost snapshot of a stack and its parent."""
        ...

    def portable(self, stack: Sequence[str]) -> bool:
        """Whether the topmost directory means the same difference on top of another parent."""
        ...
