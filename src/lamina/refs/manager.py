"""Makes refs, and gives access to the files of refs."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import NotFound
from lamina.refs.build_scoped import BuildScoped, RunningBuilds
from lamina.refs.directories import SnapshotDirectories, SnapshotTables
from lamina.refs.manifests import record_manifest
from lamina.refs.ref import Ref
from lamina.refs.revision_digests import RevisionDigests
from lamina.refs.selection import digest_selection
from lamina.refs.views import ViewCache
from lamina.solver.lookup import manifest_name
from lamina.stores.contents import ContentTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.base.digest import Digest
    from lamina.base.oci import Descriptor
    from lamina.refs.packer import Packer
    from lamina.refs.plan import FilePlan
    from lamina.refs.reading import Reading
    from lamina.refs.selection import Selector
    from lamina.refs.snapshotter import Snapshotter
    from lamina.refs.stacker import Stacker
    from lamina.refs.tree import Tree
    from lamina.refs.unpacker import LayerUnpacker
    from lamina.stores.blobs import BlobStore
    from lamina.stores.layers import Layer, LayerTable
    from lamina.stores.origins import LayerOrigins
    from lamina.stores.snapshots import SnapshotStore, Staged
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation
    from lamina.system.file_metadata import FileMetadata


class RefManager:
    """The snapshots of a store, as the builds of this process use them. Thread-safe.

    It is the front of `SnapshotDirectories`, `ViewCache`, `Packer` and `Stacker`. The latter two
    are imported when they are first used.
    """

    def __init__(
        self,
        store: Store,
        snapshots: SnapshotStore,
        layers: LayerTable,
        origins: LayerOrigins,
        snapshotter: Snapshotter,
        unpacker: LayerUnpacker,
    ) -> None:
        self.blobs: BlobStore = store.blobs
        self.snapshots = snapshots
        self.layers = layers
        self.origins = origins
        self._snapshotter = snapshotter
        self._unpacker = unpacker
        self._contents = ContentTable(store.database)
        self._digests = RevisionDigests()
        self._builds = RunningBuilds()
        self._plans: BuildScoped[int, FilePlan] = BuildScoped(self._builds)
        self._tables = SnapshotTables(snapshots, layers, store.blobs, self._plans)
        self._directories = SnapshotDirectories(self._tables, snapshotter, unpacker)
        self._views = ViewCache(self._directories, snapshotter, self._builds, store.scratch)
        self._packer: Packer | None = None
        self._stacker: Stacker | None = None

    @property
    def overlay(self) -> bool:
        """Whether overlayfs works on the file system of the store."""
        return self._snapshotter.overlay

    @property
    def metadata(self) -> FileMetadata:
        """How the files of snapshots have their metadata."""
        return self._snapshotter.metadata

    @property
    def packer(self) -> Packer:
        if self._packer is None:
            from lamina.refs.packer import Packer

            made = Packer(self._tables, self._directories, self._snapshotter, self._unpacker)
            with self._builds.lock:
                self._packer = self._packer or made
        return self._packer

    @property
    def stacker(self) -> Stacker:
        if self._stacker is None:
            from lamina.refs.stacker import Stacker

            self._stacker = Stacker(
                self._tables, self._directories, self._snapshotter, self.packer, self._views
            )
        return self._stacker

    def enter(self, build: object) -> None:
        """A build starts: keep the views and plans that are used from now on until it leaves."""
        self._builds.enter(build)

    def leave(self, build: object) -> None:
        """A build has ended: drop the views and plans that only ended builds used."""
        self._builds.leave(build)
        self._plans.expire()
        self._views.expire()

    def plan(self, ref: Ref, cancel: Cancellation, reading: Reading | None = None) -> FilePlan:
        """An empty plan of changes on top of a ref."""
        from lamina.refs.plan import FilePlan

        return FilePlan(None if ref.snapshot is None else self.tree(ref, cancel), reading)

    def commit_plan(self, plan: FilePlan, parent: Ref, description: str) -> Ref:
        """Record a snapshot of a plan. Files or a layer are made when they are needed.

        A plan without changes is a snapshot too: an image has a layer for it.
        """
        snapshot = self.snapshots.add(parent.snapshot, description=description)
        self._plans.add(snapshot, plan)
        return Ref(snapshot)

    def drop_plan(self, snapshot: int) -> None:
        """Drop the plan of a snapshot, which has a layer or a directory now, or is not used."""
        self._plans.remove(snapshot)

    def lost(self, snapshot: int) -> bool:
        """Whether a snapshot, or one below it, was a plan of a process or a build that is gone."""
        return self.packed(snapshot) is None

    def packed(self, snapshot: int) -> list[Sequence[Layer]] | None:
        """The layers of a stack's snapshots that are stored only as layers, lowest first.

        None if a snapshot has neither files nor a layer: see `lost`.
        """
        try:
            stack = self.snapshots.stack(snapshot)
        except NotFound:
            return None
        found: list[Sequence[Layer]] = []
        for each in stack:
            if each.directory or self._plans.get(each.id):
                continue
            layers = self.layers.of(each.id)
            if not layers:
                return None
            found.append(layers)
        return found

    def tree(self, ref: Ref, cancel: Cancellation) -> Tree:
        """A readable view of a ref's files; it lasts as long as a build that used it."""
        if ref.local is not None:
            return ref.local
        return self._views.of(ref.snapshot, cancel)

    def digest(
        self, ref: Ref, selectors: Sequence[Selector], name: str, cancel: Cancellation
    ) -> Digest:
        """The digest of what the selectors select of a ref; its manifest is recorded.

        `name` is the selector of the `Dependency`. Raises NotFound.
        """
        tree = self.tree(ref, cancel)
        digest = self._digests.get(tree, selectors)
        if digest is None:
            digest = digest_selection(tree, selectors)
            self._digests.add(tree, selectors, digest)
        record_manifest(self._contents, manifest_name(digest, name), tree, selectors)
        return digest

    def bindable(self, ref: Ref, cancel: Cancellation) -> Tree:
        """A view whose files are on disk in the form that a step sees."""
        return self.tree(self.owned(ref, cancel), cancel)

    def copied(self, ref: Ref, cancel: Cancellation, path: str = "") -> Ref:
        """A new snapshot with the content of a client's directory.

        Args:
            path: copy only this path, inside the directories above it. It must not contain links.
        """
        from lamina.refs.folder_copy import copy_folder

        assert ref.local is not None
        return copy_folder(self, ref.local, path, cancel)

    def owned(self, ref: Ref, cancel: Cancellation) -> Ref:
        """A ref to a snapshot with the same content: a copy if `ref` is a client's directory."""
        return ref if ref.local is None else self.copied(ref, cancel)

    @contextmanager
    def writable(self, ref: Ref, cancel: Cancellation) -> Iterator[tuple[str, Staged]]:
        """A writable mount on top of a ref, and the staged directory that takes the changes.

        The mount lasts for the block. After it, commit the staged directory or discard it.
        """
        lowers = self._directories.stack(self.owned(ref, cancel).snapshot, cancel)
        staged = self.snapshots.stage()
        self._snapshotter.stage(lowers, staged)
        target = self._views.mount_point()
        try:
            with self._snapshotter.writable(lowers, staged, target) as path:
                yield path, staged
        finally:
            os.rmdir(target)

    def commit(self, staged: Staged, parent: Ref, description: str) -> Ref:
        """Make a snapshot of what a writable mount changed. The mount must be gone."""
        lowers = self._directories.stack(parent.snapshot, None)
        self._snapshotter.drop_unchanged(lowers, staged)
        return Ref(self.snapshots.commit(staged, parent.snapshot, description))

    def discard(self, staged: Staged) -> None:
        self._directories.discard(staged)

    def fetch(self, layers: Sequence[Descriptor], cancel: Cancellation) -> None:
        """Fetch the blobs of layers that the store lacks."""
        self._unpacker.fetch(layers, cancel)

    def differences(self, ref: Ref, cancel: Cancellation) -> list[str]:
        """The directories with the difference that each layer of a ref makes, lowest first.

        None are known if overlayfs does not work, and of a client's directory.
        """
        if not self.overlay or ref.local is not None:
            return []
        return self._directories.stack(ref.snapshot, cancel)

    def lay_out(self, snapshot: int, cancel: Cancellation) -> None:
        """Make the directories of a snapshot and of all below it, where they are missing."""
        self._directories.stack(snapshot, cancel)
