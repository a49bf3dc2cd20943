"""Merges snapshots, and takes their differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import Internal
from lamina.layers.compression import Compression
from lamina.refs.ref import Ref

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.refs.directories import SnapshotDirectories, SnapshotTables
    from lamina.refs.packer import Packer
    from lamina.refs.snapshotter import Snapshotter
    from lamina.refs.views import ViewCache
    from lamina.stores.snapshots import Snapshot
    from lamina.system.cancel import Cancellation


class Stacker:
    """Puts the differences of snapshots on top of other parents. Refs are not clients'
    directories."""

    def __init__(
        self,
        tables: SnapshotTables,
        directories: SnapshotDirectories,
        snapshotter: Snapshotter,
        packer: Packer,
        views: ViewCache,
    ) -> None:
        self._tables = tables
        self._snapshots = tables.snapshots
        self._directories = directories
        self._snapshotter = snapshotter
        self._packer = packer
        self._views = views

    def merge(self, refs: Sequence[Ref], cancel: Cancellation) -> Ref:
        """Stack the differences of all refs, later ones on top of earlier ones."""
        if any(ref.local is not None for ref in refs):
            raise Internal("a client's directory cannot be merged")
        result = refs[0] if refs else Ref()
        for ref in refs[1:]:
            for snapshot in self._snapshots.stack(ref.snapshot):
                result = self.restack(snapshot, result, cancel)
        return result

    def between(self, lower: Ref, upper: Ref) -> list[Snapshot] | None:
        """The snapshots above `lower` in the stack of `upper`, lowest first.

        None if `lower` is not an ancestor of `upper`.
        """
        stack = self._snapshots.stack(upper.snapshot)
        if lower.snapshot is None:
            return list(stack)
        for index, snapshot in enumerate(stack):
            if snapshot.id == lower.snapshot:
                return list(stack[index + 1 :])
        return None

    def difference(self, lower: Ref, upper: Ref, description: str, cancel: Cancellation) -> Ref:
        """A new snapshot without a parent that, on top of `lower`, is equal to `upper`.

        It is packed, because only a layer can hold whiteouts of files that no parent has.
        """
        from lamina.refs.packing import pack_change

        before = self._views.of(lower.snapshot, cancel)
        after = self._views.of(upper.snapshot, cancel)
        blobs = self._tables.blobs
        metadata = self._snapshotter.metadata
        layer = pack_change(before.root, after.root, blobs, Compression(), cancel, metadata)
        snapshot = self._snapshots.add(None, description=description)
        self._tables.layers.add(snapshot, layer)
        return Ref(snapshot)

    def restack(self, snapshot: Snapshot, parent: Ref, cancel: Cancellation) -> Ref:
        """A new snapshot with the same difference and description on top of another parent."""
        layers = self._tables.layers
        directory = self._shareable(snapshot, parent, cancel)
        if not directory:
            self._packer.layer(snapshot, Compression(), cancel)
        copies = layers.of(snapshot.id)
        description = self._snapshots.description(snapshot.id)
        new = self._snapshots.add(parent.snapshot, directory=directory, description=description)
        for layer in copies:
            layers.add(new, layer)
        return Ref(new)

    def _shareable(self, snapshot: Snapshot, parent: Ref, cancel: Cancellation) -> str:
        """The directory of a snapshot if it can be used on top of another parent, else "".

        A directory cannot be in a stack twice.
        """
        if not self._snapshotter.overlay:
            return ""
        plan = self._tables.plans.get(snapshot.id)
        if plan is not None:
            if plan.removed or plan.opaque:
                return ""
            self._directories.stack(snapshot.id, cancel)
            snapshot = self._snapshots.get(snapshot.id)
        if not snapshot.directory or self._snapshots.partial(snapshot):
            return ""
        below = self._snapshots.stack(parent.snapshot)
        if any(snapshot.directory == each.directory for each in below):
            return ""
        stack = self._directories.stack(snapshot.id, cancel)
        return snapshot.directory if self._snapshotter.portable(stack) else ""
