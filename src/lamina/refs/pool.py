"""Makes refs and gets at what they stand for: a readable tree, a writable copy, a merge."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from lamina.base.errors import Internal, NotFound, Unavailable
from lamina.refs.ref import Ref
from lamina.refs.tree import Tree
from lamina.system.cancel import Cancellation
from lamina.system.directory import make_directory
from lamina.system.single_flight import SingleFlight
from lamina.system.threads import in_parallel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lamina.base.digest import Digest
    from lamina.base.oci import Descriptor
    from lamina.layers.compression import Compression
    from lamina.refs.plan import FilePlan
    from lamina.refs.reading import Reading
    from lamina.stores.blobs import BlobStore
    from lamina.stores.layers import Layer, LayerTable
    from lamina.stores.origins import LayerOrigins
    from lamina.stores.snapshots import Snapshot, SnapshotStore, Snapshotter, Staged
    from lamina.stores.store import Store


T = TypeVar("T")


class _Kept(Generic[T]):
    """Something, and the latest build that may use it."""

    __slots__ = ("used", "value")

    def __init__(self, value: T, used: int) -> None:
        self.value = value
        self.used = used


class Unpacker(Protocol):
    """Turns packed layers and plans into files."""

    def bring(self, blobs: Sequence[Descriptor], cancel: Cancellation) -> None:
        """Fetch layers' blobs that the store lacks from their origins."""
        ...

    def unpack(
        self, layer: Layer, lowers: Sequence[str], staged: Staged, cancel: Cancellation
    ) -> None:
        """Fill `staged` with what the layer changes on top of `lowers` (`fs` folders)."""
        ...

    def lay_out(
        self, plan: FilePlan, lowers: Sequence[str], staged: Staged, cancel: Cancellation
    ) -> None: ...


class RefPool:
    """The states of one store, as this process uses them."""

    def __init__(
        self,
        store: Store,
        snapshots: SnapshotStore,
        layers: LayerTable,
        origins: LayerOrigins,
        snapshotter: Snapshotter,
        unpacker: Unpacker,
    ) -> None:
        self._store = store
        self.snapshots = snapshots
        self.layers = layers
        self.origins = origins
        self._snapshotter = snapshotter
        self._unpacker = unpacker
        self._plans: dict[int, _Kept[FilePlan]] = {}
        self._trees: dict[int | None, _Kept[Tree]] = {}
        self._lock = threading.Lock()
        self._clock = 0
        self._users: dict[int, int] = {}  # builds under way, and when each of them came
        self._layouts: SingleFlight[None] = SingleFlight()
        self._views: SingleFlight[Tree] = SingleFlight()
        self._layers: SingleFlight[Layer] = SingleFlight()

    @property
    def blobs(self) -> BlobStore:
        """Where layers are kept."""
        return self._store.blobs

    @property
    def kind(self) -> str:
        return self._snapshotter.kind

    def enter(self, user: object) -> None:
        """Keep views and plans that are made or used from now on until `user` leaves."""
        with self._lock:
            self._clock += 1
            self._users[id(user)] = self._clock

    def leave(self, user: object) -> None:
        """Drop the views and plans that only users used who have left."""
        with self._lock:
            del self._users[id(user)]
            oldest = min(self._users.values(), default=self._clock + 1)
            for snapshot in [s for s, kept in self._plans.items() if kept.used < oldest]:
                del self._plans[snapshot]
            expired = [s for s, kept in self._trees.items() if kept.used < oldest]
            views = [self._trees.pop(snapshot).value for snapshot in expired]
        for view in views:
            self._snapshotter.drop(view.root)

    def plan(self, ref: Ref, reading: Reading | None = None) -> FilePlan:
        """An empty plan of changes on top of a ref."""
        from lamina.refs.plan import FilePlan

        return FilePlan(None if ref.snapshot is None else self.tree(ref), reading)

    def commit_plan(self, plan: FilePlan, parent: Ref, description: str) -> Ref:
        """Make a plan a state. It is laid out or packed when somebody needs that.

        A plan that changes nothing is a state too: an image has a layer for it.
        """
        snapshot = self.snapshots.add(parent.snapshot, description=description)
        with self._lock:
            self._plans[snapshot] = _Kept(plan, self._clock)
        return Ref(snapshot)

    def lost(self, snapshot: int) -> bool:
        """Whether a snapshot, or one below it, was a plan of a process or a build that is gone."""
        try:
            stack = self.snapshots.stack(snapshot)
        except NotFound:
            return True
        return any(
            not (state.directory or self.pending_plan(state.id) or self.layers.of(state.id))
            for state in stack
        )

    def pending_plan(self, snapshot: int) -> FilePlan | None:
        """The plan of a state that is not laid out."""
        with self._lock:
            kept = self._plans.get(snapshot)
            return None if kept is None else kept.value

    def planned(self, snapshot: int) -> None:
        """The state of this plan has a layer or a directory now."""
        with self._lock:
            self._plans.pop(snapshot, None)

    def tree(self, ref: Ref, cancel: Cancellation | None = None) -> Tree:
        """A readable view of a ref's files; kept while a build that used it is under way."""
        if ref.local is not None:
            return ref.local
        with self._lock:
            known = self._trees.get(ref.snapshot)
            if known is not None:
                known.used = self._clock
                return known.value
        return self._views.run(ref.snapshot, lambda: self._view(ref, cancel), cancel)

    def bindable(self, ref: Ref, cancel: Cancellation | None = None) -> Tree:
        """A view whose files are on disk just as a step may see them."""
        return self.tree(self.owned(ref, cancel), cancel)

    def copied(self, ref: Ref, cancel: Cancellation | None = None, path: str = "") -> Ref:
        """A state of this store with the content of a client's folder.

        Args:
            path: what of it alone is wanted, in the folders that it is in; no link leads there.
        """
        from lamina.refs.folder_copy import copy_folder

        assert ref.local is not None
        return copy_folder(self, ref.local, path, cancel or Cancellation())

    def owned(self, ref: Ref, cancel: Cancellation | None = None) -> Ref:
        """The same as a state of this store, to build on."""
        return ref if ref.local is None else self.copied(ref, cancel)

    @contextmanager
    def writable(
        self, ref: Ref, cancel: Cancellation | None = None
    ) -> Iterator[tuple[str, Staged]]:
        """A writable mount on top of a ref, and the staged directory that takes the changes.

        The mount is gone after the block; then commit the staged directory, or drop it.
        """
        lowers = self._lowers(self.owned(ref, cancel).snapshot, cancel)
        staged = self.snapshots.stage()
        self._snapshotter.stage(lowers, staged)
        target = self._mount_point()
        try:
            with self._snapshotter.writable(lowers, staged, target) as path:
                yield path, staged
        finally:
            os.rmdir(target)

    def commit(self, staged: Staged, parent: Ref, description: str) -> Ref:
        """Make what a writable mount took a state, once the mount is gone."""
        if self.kind == "overlay" and parent.snapshot is not None:
            from lamina.layers.diff import drop_unchanged

            drop_unchanged(staged.files, self._lowers(parent.snapshot, None))
        return Ref(self.snapshots.commit(staged, parent.snapshot, description))

    def discard(self, staged: Staged) -> None:
        from lamina.system.removal import discard_tree

        discard_tree(staged.path)

    def merge(self, refs: Sequence[Ref], cancel: Cancellation) -> Ref:
        """Stack the differences of all refs: later ones on top of earlier ones."""
        if any(ref.local is not None for ref in refs):
            raise Internal("a client's folder cannot be merged")
        result = refs[0] if refs else Ref()
        for ref in refs[1:]:
            for state in self.snapshots.stack(ref.snapshot):
                result = self.restack(state, result, cancel)
        return result

    def is_ancestor(self, lower: Ref, upper: Ref) -> list[Snapshot] | None:
        """The states between, lowest first, if `upper` was made on top of `lower`."""
        stack = self.snapshots.stack(upper.snapshot)
        if lower.snapshot is None:
            return list(stack)
        for index, state in enumerate(stack):
            if state.id == lower.snapshot:
                return list(stack[index + 1 :])
        return None

    def difference(self, lower: Ref, upper: Ref, description: str, cancel: Cancellation) -> Ref:
        """A state that, stacked on `lower`, shows `upper`: packed, whiteouts and all."""
        from lamina.layers.compression import Compression
        from lamina.refs.packing import pack_change

        before, after = self.tree(lower, cancel), self.tree(upper, cancel)
        layer = pack_change(before.root, after.root, self._store.blobs, Compression(), cancel)
        snapshot = self.snapshots.add(None, description=description)
        self.layers.add(snapshot, layer)
        return Ref(snapshot)

    def packed(
        self, ref: Ref, compression: Compression, cancel: Cancellation, *, force: bool = False
    ) -> list[tuple[Snapshot, Layer]]:
        """Every state of a ref with its layer, lowest first, packed where it is not yet.

        Several layers are packed at a time. One that came from outside is taken as it is unless
        `force`.
        """
        stack = self.snapshots.stack(ref.snapshot)
        found = {state.id: self._packed_layer(state, compression, force) for state in stack}
        missing = [state for state in stack if found[state.id] is None]

        def pack(state: Snapshot, cancel: Cancellation) -> None:
            found[state.id] = self._layers.run(
                (state.id, compression.recipe, force),
                partial(self._pack_one, state, compression, cancel, force),
                cancel,
            )

        if missing:
            in_parallel(missing, pack, max(2, min(8, os.cpu_count() or 2)), cancel)
        return [(state, layer) for state in stack if (layer := found[state.id]) is not None]

    def dated(
        self,
        packed: Sequence[tuple[Snapshot, Layer]],
        compression: Compression,
        epoch: int,
        untouched: frozenset[Digest],
        cancel: Cancellation,
    ) -> list[tuple[Snapshot, Layer]]:
        """Layers with no time later than `epoch`, but for those whose diff ids are `untouched`."""
        from lamina.refs.packing import redate

        found = []
        for state, layer in packed:
            if layer.diff_id in untouched:
                found.append((state, layer))
                continue
            made = self.layers.dated(state.id, compression.recipe, epoch)
            if made is None or not self._store.blobs.has(made.descriptor.digest):
                self.bring([layer.descriptor], cancel)
                made = redate(layer, self._store.blobs, compression, epoch, cancel)
                self.layers.add(state.id, made)
            found.append((state, made))
        return found

    def bring(self, descriptors: Sequence[Descriptor], cancel: Cancellation) -> None:
        """See that the blobs of these layers are in the store."""
        self._unpacker.bring(descriptors, cancel)

    def settle(self, states: Iterable[int], cancel: Cancellation) -> None:
        """Pack what of these states exists as plans alone, so that it outlives this process."""
        from lamina.layers.compression import Compression

        for top in sorted(states):
            for state in self.snapshots.stack(top):
                if self.pending_plan(state.id) is None or self.layers.of(state.id):
                    continue
                self._layers.run(
                    (state.id, "", False),
                    partial(self._pack_one, state, Compression(), cancel, False),
                    cancel,
                )

    def pack_plan(self, ref: Ref, compression: Compression, cancel: Cancellation) -> None:
        """Pack a state that is a plan; from then on its layer is all there is of it.

        Raises SourceChanged.
        """
        assert ref.snapshot is not None
        state = self.snapshots.get(ref.snapshot)
        try:
            self._layers.run(
                (state.id, compression.recipe, False),
                partial(self._pack_one, state, compression, cancel, False),
                cancel,
            )
        finally:
            self.planned(state.id)

    def _packed_layer(self, state: Snapshot, compression: Compression, force: bool) -> Layer | None:
        for layer in self.layers.of(state.id):
            if layer.recipe == compression.recipe or (not layer.recipe and not force):
                return layer
        return None

    def _pack_one(
        self, state: Snapshot, compression: Compression, cancel: Cancellation, force: bool
    ) -> Layer:
        from lamina.refs.packing import pack_change, pack_plan, pack_upper, repack

        packed = self._packed_layer(state, compression, force)
        if packed is not None:
            return packed
        known = self.layers.of(state.id)
        blobs = self._store.blobs
        plan = self.pending_plan(state.id)
        held = next((item for item in known if blobs.has(item.descriptor.digest)), None)
        if held is not None:
            layer = repack(held, blobs, compression, cancel)
        elif plan is not None:
            layer = pack_plan(plan, blobs, compression, cancel)
        else:
            lowers = self._lowers(state.id, cancel)
            if self.kind == "overlay":
                layer = pack_upper(lowers[-1], lowers[:-1], blobs, compression, cancel)
            elif len(lowers) > 1:
                layer = pack_change(lowers[-2], lowers[-1], blobs, compression, cancel)
            else:
                layer = pack_upper(lowers[-1], lowers[:-1], blobs, compression, cancel)
        self.layers.add(state.id, layer)
        return layer

    def lay_out(self, snapshot: int, cancel: Cancellation | None = None) -> None:
        """See that a state and all below it have directories."""
        self._lowers(snapshot, cancel)

    def restack(self, state: Snapshot, parent: Ref, cancel: Cancellation) -> Ref:
        """The difference that a state is, on top of another parent. What made it is kept."""
        from lamina.layers.compression import Compression

        directory = self._shareable(state, parent)
        if not directory:
            self._pack_one(state, Compression(), cancel, False)
        copies = self.layers.of(state.id)
        description = self.snapshots.description(state.id)
        new = self.snapshots.add(parent.snapshot, directory=directory, description=description)
        for layer in copies:
            self.layers.add(new, layer)
        return Ref(new)

    def _shareable(self, state: Snapshot, parent: Ref) -> str:
        """The directory of a state, if it means the same on top of another parent; else "".

        One directory cannot be in a stack twice, and native directories are whole trees.
        """
        from lamina.layers.diff import portable

        if self.kind == "native":
            return ""
        plan = self.pending_plan(state.id)
        if plan is not None:
            if plan.removed or plan.opaque:
                return ""
            self.lay_out(state.id)
            state = self.snapshots.get(state.id)
        if not state.directory or self.snapshots.partial(state):
            return ""
        if any(
            state.directory == below.directory for below in self.snapshots.stack(parent.snapshot)
        ):
            return ""
        *lowers, upper = self._lowers(state.id, None)
        return state.directory if portable(upper, lowers) else ""

    def _view(self, ref: Ref, cancel: Cancellation | None) -> Tree:
        lowers = self._lowers(ref.snapshot, cancel)
        place = self._mount_point()
        tree = Tree(self._snapshotter.view(lowers, place))
        if lowers and tree.root != place:
            os.rmdir(place)
        with self._lock:
            self._trees[ref.snapshot] = _Kept(tree, self._clock)
        return tree

    def _mount_point(self) -> str:
        path = os.path.join(self._store.scratch, f"m-{os.urandom(4).hex()}")
        make_directory(path)
        return path

    def _lowers(self, snapshot: int | None, cancel: Cancellation | None) -> list[str]:
        if snapshot is not None and not self.snapshots.whole(snapshot):
            raise Unavailable(
                "the files of an earlier step are not in the store any more", hint="build again"
            )
        stack = self.snapshots.stack(snapshot)
        if any(not state.directory for state in stack):
            self._lay_out_missing(stack, cancel)
            stack = self.snapshots.stack(snapshot)
        return [self.snapshots.files(state) for state in stack]

    def _lay_out_missing(self, stack: Sequence[Snapshot], cancel: Cancellation | None) -> None:
        """Bring back every directory that a stack lacks, lowest first.

        All blobs are fetched before the first is unpacked, several at a time. A layer may have
        links, and directories that it only implies, in those below; so they are unpacked in turn.
        """
        missing = [state.id for state in stack if not state.directory]
        packed = [self.layers.of(state) for state in missing if self.pending_plan(state) is None]
        blobs = [layers[0].descriptor for layers in packed if layers]
        self._unpacker.bring(blobs, cancel or Cancellation())
        for index, state in enumerate(stack):
            if not state.directory:
                self._layouts.run(
                    state.id, partial(self._lay_out_one, state, stack[:index], cancel), cancel
                )

    def _lay_out_one(
        self, state: Snapshot, below: Sequence[Snapshot], cancel: Cancellation | None
    ) -> None:
        if self.snapshots.stack(state.id)[-1].directory:
            return
        cancel = cancel or Cancellation()
        lowers = (
            [self.snapshots.files(s) for s in self.snapshots.stack(below[-1].id)] if below else []
        )
        staged = self.snapshots.stage()
        self._snapshotter.stage(lowers, staged)
        try:
            plan = self.pending_plan(state.id)
            if plan is not None:
                self._unpacker.lay_out(plan, lowers, staged, cancel)
            else:
                packed = self.layers.of(state.id)
                if not packed:
                    raise NotFound(f"snapshot {state.id} has neither files nor a layer")
                self._unpacker.unpack(packed[0], lowers, staged, cancel)
            self.snapshots.attach(state.id, staged)
        except BaseException:
            self.discard(staged)
            raise
        self.planned(state.id)
