"""Leases: which snapshots a process uses, so that pruning leaves them alone.

A lease is a row of a process and a snapshot. It is inserted in the transaction that inserts the
snapshot or finds that it still exists. Pruning looks for leases in the transaction that deletes the
snapshot. So each sees the other, in whatever processes they run.

A process deletes a lease when all builds have ended that ran at the last use of the snapshot. It
may hold a snapshot longer than necessary: any of these builds can have got it through the shared
graph. A build that gets it later, from one that still runs, takes the lease again. Leases of a
process that died do not count: its `tmp/<process>.lock` is not locked.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.base.errors import Exhausted

if TYPE_CHECKING:
    import sqlite3

    from lamina.stores.database import Database


class Leases:
    """The leases of one process. `process` is the name of its directory in tmp/. Thread-safe."""

    def __init__(self, database: Database, process: str) -> None:
        self._database = database
        self._process = process
        self._lock = threading.Lock()
        self._begun = 0  # builds so far; a build is identified by its number
        self._running: set[int] = set()
        self._used: dict[int, int] = {}  # by snapshot: the newest build at its last use
        self._held: set[int] = set()  # the snapshots whose lease is committed

    def enter(self) -> int:
        """A build starts. Returns its number."""
        with self._lock:
            self._begun += 1
            self._running.add(self._begun)
            return self._begun

    def leave(self, build: int) -> None:
        """A build has ended. Delete the leases of snapshots that only ended builds used.

        On a full disk they stay until the next build ends or something is pruned.
        """
        with self._lock:
            self._running.remove(build)
        with suppress(Exhausted):
            self.delete_unused()

    def delete_unused(self) -> None:
        """Delete the leases of snapshots that only ended builds used. Raises Exhausted."""
        with self._lock:
            if not self._unused():
                return
        deleted: dict[int, int] = {}
        try:
            with self._database.write() as connection, self._lock:
                unused = self._unused()  # again: some may have been used meanwhile
                connection.executemany(
                    "DELETE FROM leases WHERE process = ? AND snapshot = ?",
                    [(self._process, snapshot) for snapshot in unused],
                )
                for snapshot in unused:
                    deleted[snapshot] = self._used.pop(snapshot)
                    self._held.discard(snapshot)
        except BaseException:
            with self._lock:  # nothing was committed: try them again next time
                for snapshot, newest in deleted.items():
                    self._used.setdefault(snapshot, newest)
            raise

    def hold(self, snapshot: int) -> bool:
        """Lease a snapshot. Returns whether it exists."""
        with self._lock:
            if snapshot in self._held:
                self._used[snapshot] = self._begun
                return True
        with self._database.write() as connection:
            there = connection.execute(
                "SELECT 1 FROM snapshots WHERE id = ?", (snapshot,)
            ).fetchone()
            if there is None:
                return False
            self.note(connection, snapshot)
        self.noted(snapshot)
        return True

    def note(self, connection: sqlite3.Connection, snapshot: int) -> None:
        """Lease a snapshot that this transaction inserts."""
        with self._lock:
            self._used[snapshot] = self._begun
        connection.execute(
            "INSERT OR IGNORE INTO leases (process, snapshot) VALUES (?, ?)",
            (self._process, snapshot),
        )

    def noted(self, snapshot: int) -> None:
        """The transaction of `note` is committed, unless it is part of another one."""
        if self._database.writing:
            return
        with self._lock:
            if snapshot in self._used:
                self._held.add(snapshot)

    def _unused(self) -> list[int]:
        oldest = min(self._running, default=self._begun + 1)
        return [snapshot for snapshot, newest in self._used.items() if newest < oldest]
