"""Packs snapshots into layers."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from lamina.layers.compression import Compression
from lamina.system.single_flight import SingleFlight
from lamina.system.threads import in_parallel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamina.base.digest import Digest
    from lamina.refs.directories import SnapshotDirectories, SnapshotTables
    from lamina.refs.ref import Ref
    from lamina.refs.snapshotter import Snapshotter
    from lamina.refs.unpacker import LayerUnpacker
    from lamina.stores.layers import Layer
    from lamina.stores.snapshots import Snapshot
    from lamina.system.cancel import Cancellation


class Packer:
    """Makes the layers that snapshots lack, and records them. Thread-safe."""

    def __init__(
        self,
        tables: SnapshotTables,
        directories: SnapshotDirectories,
        snapshotter: Snapshotter,
        unpacker: LayerUnpacker,
    ) -> None:
        self._snapshots = tables.snapshots
        self._layers = tables.layers
        self._blobs = tables.blobs
        self._plans = tables.plans
        self._directories = directories
        self._snapshotter = snapshotter
        self._unpacker = unpacker
        self._single_flight: SingleFlight[Layer] = SingleFlight()

    def packed(
        self, ref: Ref, compression: Compression, cancel: Cancellation, *, force: bool = False
    ) -> list[tuple[Snapshot, Layer]]:
        """Every snapshot of a ref with its layer, lowest first. Several are packed in parallel.

        A layer that came from outside is used as it is, unless `force`.
        """
        stack = self._snapshots.stack(ref.snapshot)
        found = {each.id: self._known(each, compression, force) for each in stack}
        missing = [each for each in stack if found[each.id] is None]

        def pack(snapshot: Snapshot, cancel: Cancellation) -> None:
            found[snapshot.id] = self.layer(snapshot, compression, cancel, force=force)

        if missing:
            in_parallel(missing, pack, max(2, min(8, os.cpu_count() or 2)), cancel)
        return [(each, layer) for each in stack if (layer := found[each.id]) is not None]

    def clamped(
        self,
        packed: Sequence[tuple[Snapshot, Layer]],
        compression: Compression,
        epoch: int,
        untouched: frozenset[Digest],
        cancel: Cancellation,
    ) -> list[tuple[Snapshot, Layer]]:
        """Layers in which no time is later than `epoch`, except those with `untouched` diff ids."""
        from lamina.refs.packing import redate

        found = []
        for snapshot, layer in packed:
            if layer.diff_id in untouched:
                found.append((snapshot, layer))
                continue
            made = self._layers.dated(snapshot.id, compression.recipe, epoch)
            if made is None or not self._blobs.has(made.descriptor.digest):
                self._unpacker.fetch([layer.descriptor], cancel)
                made = redate(layer, self._blobs, compression, epoch, cancel)
                self._layers.add(snapshot.id, made)
            found.append((snapshot, made))
        return found

    def pack_plans(self, snapshots: Iterable[int], cancel: Cancellation) -> None:
        """Pack the snapshots that are only plans, and those below: so they outlive this process."""
        for top in sorted(snapshots):
            for snapshot in self._snapshots.stack(top):
                if self._plans.get(snapshot.id) is not None and not self._layers.of(snapshot.id):
                    self.layer(snapshot, Compression(), cancel)

    def pack_plan(self, ref: Ref, compression: Compression, cancel: Cancellation) -> None:
        """Pack a snapshot that is a plan, and drop the plan: the layer replaces it.

        Raises SourceChanged.
        """
        assert ref.snapshot is not None
        snapshot = self._snapshots.get(ref.snapshot)
        try:
            self.layer(snapshot, compression, cancel)
        finally:
            self._plans.remove(snapshot.id)

    def layer(
        self,
        snapshot: Snapshot,
        compression: Compression,
        cancel: Cancellation,
        *,
        force: bool = False,
    ) -> Layer:
        """The layer of a snapshot, packed if there is none. `force`: see `packed`."""
        return self._single_flight.run(
            (snapshot.id, compression.recipe, force),
            partial(self._pack, snapshot, compression, cancel, force),
            cancel,
        )

    def _known(self, snapshot: Snapshot, compression: Compression, force: bool) -> Layer | None:
        for layer in self._layers.of(snapshot.id):
            if layer.recipe == compression.recipe or (not layer.recipe and not force):
                return layer
        return None

    def _pack(
        self, snapshot: Snapshot, compression: Compression, cancel: Cancellation, force: bool
    ) -> Layer:
        from lamina.refs.packing import pack_plan, repack

        known = self._known(snapshot, compression, force)
        if known is not None:
            return known
        blobs = self._blobs
        plan = self._plans.get(snapshot.id)
        layers = self._layers.of(snapshot.id)
        stored = next((layer for layer in layers if blobs.has(layer.descriptor.digest)), None)
        if stored is not None:
            layer = repack(stored, blobs, compression, cancel)
        elif plan is not None:
            layer = pack_plan(plan, blobs, compression, cancel)
        else:
            stack = self._directories.stack(snapshot.id, cancel)
            layer = self._snapshotter.pack(stack, blobs, compression, cancel)
        self._layers.add(snapshot.id, layer)
        return layer
