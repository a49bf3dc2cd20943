"""Snapshots: file systems as stacks of committed directories.

A snapshot is a row with a parent and the directory of its difference from the parent. It has no
directory while a layer or a plan suffices (the image of a `FROM` in which nothing was run). Several
snapshots can share a directory: a merge puts the same difference on top of another parent.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from lamina.base.errors import NotFound
from lamina.base.named_tuple import NamedTuple
from lamina.system.directory import make_directory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.stores.store import Store

_PARTIAL = "partial"
_STACKS = 4096  # the most stacks that are cached


class Snapshot(NamedTuple):
    """A row of the table. `directory` is a name under snapshots/, "" if there is none. `chain` is
    the OCI chain ID."""

    id: int
    parent: int | None
    directory: str
    chain: str


class Staged(NamedTuple):
    """A directory that is being filled. Only this process knows it until it is committed."""

    path: str

    @property
    def files(self) -> str:
        return os.path.join(self.path, "fs")

    @property
    def work(self) -> str:
        return os.path.join(self.path, "work")

    def mark_partial(self) -> None:
        """Record that `files` lack whiteouts of the layer: see `SnapshotStore.partial`."""
        os.close(os.open(os.path.join(self.path, _PARTIAL), os.O_CREAT | os.O_WRONLY, 0o644))


class SnapshotStore:
    """The rows and directories of snapshots."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._database = store.database
        self._stacks: dict[int, tuple[Snapshot, ...]] = {}

    def get(self, snapshot_id: int) -> Snapshot:
        """The row of a snapshot. Raises NotFound."""
        return self.stack(snapshot_id)[-1]

    def stack(self, snapshot_id: int | None) -> tuple[Snapshot, ...]:
        """A snapshot and all below it, lowest first. Raises NotFound."""
        if snapshot_id is None:
            return ()
        known = self._stacks.get(snapshot_id)
        if known is not None and all(snapshot.directory for snapshot in known):
            return known
        rows = self._database.rows(
            "WITH RECURSIVE stack (id, parent, directory, chain, depth) AS ("
            " SELECT id, parent, directory, chain, 0 FROM snapshots WHERE id = ?"
            " UNION ALL SELECT s.id, s.parent, s.directory, s.chain, depth + 1"
            " FROM snapshots s JOIN stack ON s.id = stack.parent)"
            " SELECT id, parent, directory, chain FROM stack ORDER BY depth DESC",
            snapshot_id,
        )
        if not rows or rows[0][1] is not None:
            raise NotFound(f"snapshot {snapshot_id} is not in the store")
        stack = tuple(Snapshot(i, p, d or "", c or "") for i, p, d, c in rows)
        if len(self._stacks) >= _STACKS:
            self._stacks.clear()
        self._stacks[snapshot_id] = stack
        return stack

    def by_chain(self, chain: str) -> int | None:
        """The snapshot with this OCI chain id, held; None if there is none."""
        row = self._database.row("SELECT id FROM snapshots WHERE chain = ?", chain)
        return int(row[0]) if row and self.hold(row[0]) else None

    def hold(self, snapshot_id: int) -> bool:
        """Lease a snapshot for the builds that run now. Returns whether it exists (`whole`)."""
        return self._store.leases.hold(snapshot_id) and self.whole(snapshot_id)

    def whole(self, snapshot_id: int) -> bool:
        """Whether the files of a snapshot and of all below it exist or can be made again."""
        try:
            stack = self.stack(snapshot_id)
        except NotFound:
            return False
        missing = {
            each.directory
            for each in stack
            if each.directory and not os.path.isdir(self.files(each))
        }
        if not missing:
            return True
        from lamina.stores.lost import forget_directory

        lost = {each for name in missing for each in forget_directory(self._store, name)}
        self._stacks.clear()
        return lost.isdisjoint(each.id for each in stack)

    def add(
        self,
        parent: int | None,
        *,
        chain: str = "",
        directory: str = "",
        description: str = "",
        made: float | None = None,
    ) -> int:
        """Record a snapshot, held. Without a directory it needs a layer or a plan.

        `made` is when another machine made it, in seconds since the epoch.
        """
        now = time.time()
        with self._database.write() as connection:
            cursor = connection.execute(
                "INSERT INTO snapshots"
                " (parent, directory, chain, description, created, used, boot, made)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    parent,
                    directory or None,
                    chain or None,
                    description,
                    now,
                    now,
                    self._database.boot,
                    made,
                ),
            )
            made_id = cursor.lastrowid
            assert made_id is not None
            self._store.leases.note(connection, made_id)
        self._store.leases.noted(made_id)
        return made_id

    def created(self, snapshot_id: int) -> float:
        """The time when a snapshot was made, in seconds since the epoch. Raises NotFound."""
        row = self._database.row(
            "SELECT COALESCE(made, created) FROM snapshots WHERE id = ?", snapshot_id
        )
        if row is None:
            raise NotFound(f"snapshot {snapshot_id} is not in the store")
        return float(row[0])

    def description(self, snapshot_id: int) -> str:
        """The description of a snapshot, for display. Raises NotFound."""
        row = self._database.row("SELECT description FROM snapshots WHERE id = ?", snapshot_id)
        if row is None:
            raise NotFound(f"snapshot {snapshot_id} is not in the store")
        return str(row[0])

    def stage(self) -> Staged:
        """Create an empty staged directory."""
        staged = Staged(os.path.join(self._store.scratch, os.urandom(4).hex()))
        make_directory(staged.path, 0o711)
        make_directory(staged.files)
        return staged

    def commit(self, staged: Staged, parent: int | None, description: str = "") -> int:
        """Make a snapshot of a staged directory: a rename and a row."""
        with self._database.write():
            return self.add(parent, directory=self._publish(staged), description=description)

    def attach(self, snapshot_id: int, staged: Staged) -> None:
        """Make a staged directory that of a snapshot, unless it has one meanwhile."""
        with self._database.write() as connection:
            row = connection.execute(
                "SELECT directory FROM snapshots WHERE id = ?", (snapshot_id,)
            ).fetchone()
            if row is not None and row[0]:
                return  # another process was faster; ours is removed with tmp/
            connection.execute(
                "UPDATE snapshots SET directory = ? WHERE id = ?",
                (self._publish(staged), snapshot_id),
            )
        self._stacks.clear()

    def files(self, snapshot: Snapshot) -> str:
        """The `fs` directory of a snapshot that has a directory."""
        return self._store.path("snapshots", snapshot.directory, "fs")

    def partial(self, snapshot: Snapshot) -> bool:
        """Whether the directory of a snapshot lacks whiteouts that its layer has.

        A whiteout of a path that no parent has cannot be on disk, but another parent may have it.
        """
        return os.path.exists(self._store.path("snapshots", snapshot.directory, _PARTIAL))

    def touch(self, snapshot_ids: Sequence[int]) -> None:
        """Record that a build used these snapshots now, for garbage collection by age."""
        if not snapshot_ids:
            return
        with self._database.write() as connection:
            connection.executemany(
                "UPDATE snapshots SET used = ?, uses = uses + 1 WHERE id = ?",
                [(time.time(), snapshot_id) for snapshot_id in snapshot_ids],
            )

    def _publish(self, staged: Staged) -> str:
        name = os.path.basename(staged.path)
        os.rename(staged.path, self._store.path("snapshots", name))
        return name
