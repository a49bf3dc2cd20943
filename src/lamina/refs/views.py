"""Readable views of snapshots, mounted while builds run that use them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.refs.build_scoped import BuildScoped
from lamina.refs.tree import Tree
from lamina.system.directory import make_directory
from lamina.system.single_flight import SingleFlight

if TYPE_CHECKING:
    from lamina.refs.build_scoped import RunningBuilds
    from lamina.refs.directories import SnapshotDirectories
    from lamina.refs.snapshotter import Snapshotter
    from lamina.system.cancel import Cancellation


class ViewCache:
    """Views by snapshot; None is the empty file system. Thread-safe.

    Args:
        scratch: a directory of this process, for mount points.
    """

    def __init__(
        self,
        directories: SnapshotDirectories,
        snapshotter: Snapshotter,
        builds: RunningBuilds,
        scratch: str,
    ) -> None:
        self._directories = directories
        self._snapshotter = snapshotter
        self._scratch = scratch
        self._views: BuildScoped[int | None, Tree] = BuildScoped(builds)
        self._single_flight: SingleFlight[Tree] = SingleFlight()

    def of(self, snapshot: int | None, cancel: Cancellation | None) -> Tree:
        """The view of a snapshot; its directories are made if they are missing."""
        known = self._views.use(snapshot)
        if known is not None:
            return known
        return self._single_flight.run(snapshot, lambda: self._mount(snapshot, cancel), cancel)

    def expire(self) -> None:
        """Unmount the views that only builds used that have ended."""
        for view in self._views.expire():
            self._snapshotter.drop(view.root)

    def mount_point(self) -> str:
        """A new empty directory."""
        path = os.path.join(self._scratch, f"m-{os.urandom(4).hex()}")
        make_directory(path)
        return path

    def _mount(self, snapshot: int | None, cancel: Cancellation | None) -> Tree:
        stack = self._directories.stack(snapshot, cancel)
        target = self.mount_point()
        shown = self._snapshotter.view(stack, target)
        view = Tree(shown, metadata=self._snapshotter.metadata)
        if stack and view.root != target:
            os.rmdir(target)
        self._views.add(snapshot, view)
        return view
