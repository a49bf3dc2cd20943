"""The directories of snapshots, made from plans and layers when they are needed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lamina.base.errors import NotFound, Unavailable
from lamina.base.named_tuple import NamedTuple
from lamina.system.cancel import Cancellation
from lamina.system.single_flight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.refs.build_scoped import BuildScoped
    from lamina.refs.plan import FilePlan
    from lamina.refs.snapshotter import Snapshotter
    from lamina.refs.unpacker import LayerUnpacker
    from lamina.stores.blobs import BlobStore
    from lamina.stores.layers import LayerTable
    from lamina.stores.snapshots import Snapshot, SnapshotStore, Staged


class SnapshotTables(NamedTuple):
    """Where snapshots are recorded. The content of one is a directory, layers, or a plan.

    `plans` are those of this process, by snapshot.
    """

    snapshots: SnapshotStore
    layers: LayerTable
    blobs: BlobStore
    plans: BuildScoped[int, FilePlan]


class SnapshotDirectories:
    """Makes the directories that snapshots lack. Thread-safe."""

    def __init__(
        self, tables: SnapshotTables, snapshotter: Snapshotter, unpacker: LayerUnpacker
    ) -> None:
        self._snapshots = tables.snapshots
        self._layers = tables.layers
        self._plans = tables.plans
        self._snapshotter = snapshotter
        self._unpacker = unpacker
        self._single_flight: SingleFlight[None] = SingleFlight()  # by snapshot

    def stack(self, snapshot: int | None, cancel: Cancellation | None) -> list[str]:
        """The `fs` directories of a snapshot and of all below it, lowest first.

        Raises Unavailable if one cannot be made any more, and what fetching a layer raises.
        """
        if snapshot is not None and not self._snapshots.whole(snapshot):
            raise Unavailable(
                "the files of an earlier step are not in the store any more", hint="build again"
            )
        stack = self._snapshots.stack(snapshot)
        if any(not each.directory for each in stack):
            self._make_missing(stack, cancel or Cancellation())
            stack = self._snapshots.stack(snapshot)
        return [self._snapshots.files(each) for each in stack]

    def discard(self, staged: Staged) -> None:
        from lamina.system.removal import discard_tree

        discard_tree(staged.path)

    def _make_missing(self, stack: Sequence[Snapshot], cancel: Cancellation) -> None:
        """Make every directory that a stack lacks, lowest first.

        All blobs are fetched first, several at a time. The layers are unpacked one after the
        other: one may have hard links to files of those below, and parents that it only implies.
        """
        missing = [each.id for each in stack if not each.directory]
        packed = [self._layers.of(each) for each in missing if self._plans.get(each) is None]
        self._unpacker.fetch([layers[0].descriptor for layers in packed if layers], cancel)
        for index, each in enumerate(stack):
            if not each.directory:
                make = partial(self._make, each, stack[:index], cancel)
                self._single_flight.run(each.id, make, cancel)

    def _make(self, snapshot: Snapshot, below: Sequence[Snapshot], cancel: Cancellation) -> None:
        if self._snapshots.stack(snapshot.id)[-1].directory:
            return
        parents = self._snapshots.stack(below[-1].id) if below else ()
        lowers = [self._snapshots.files(each) for each in parents]
        staged = self._snapshots.stage()
        self._snapshotter.stage(lowers, staged)
        try:
            plan = self._plans.get(snapshot.id)
            if plan is not None:
                self._snapshotter.lay_out(plan, staged, cancel)
            else:
                packed = self._layers.of(snapshot.id)
                if not packed:
                    raise NotFound(f"snapshot {snapshot.id} has neither files nor a layer")
                self._unpacker.unpack(packed[0], lowers, staged, cancel)
            self._snapshots.attach(snapshot.id, staged)
        except BaseException:
            self.discard(staged)
            raise
        self._plans.remove(snapshot.id)
