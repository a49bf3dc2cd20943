"""What a living process's builds may be using, for those who remove things meanwhile.

A lease is a row: a process and a state. It is made together with the state, or when a state is
found, in one step with seeing that it is still there; whoever removes a state does that in a
transaction that first looks for leases. So of the two one always sees the other, in whatever
process each of them runs.

A process lets go of a state when all builds have ended that ran when it was used last. What it
holds is more than it needs, never less: any of those may have come by it through the shared graph.
A build that comes by it later, from one that still runs, holds it again. The leases of a process
that died count for nothing, as its `tmp/<process>.lock` is free.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from lamina.stores.database import Database


class Leases:
    """The leases of one process, its name being that of its folder in tmp/."""

    def __init__(self, database: Database, process: str) -> None:
        self._database = database
        self._process = process
        self._lock = threading.Lock()
        self._begun = 0  # builds so far; a build is known by its number
        self._running: set[int] = set()
        self._used: dict[int, int] = {}  # by state: the newest build when it was used last
        self._held: set[int] = set()  # those whose lease is certain to be there

    def enter(self) -> int:
        """A build begins; its number."""
        with self._lock:
            self._begun += 1
            self._running.add(self._begun)
            return self._begun

    def leave(self, build: int) -> None:
        """A build has ended; what only builds that are over have used is let go."""
        with self._lock:
            self._running.remove(build)
            if not self._unused():
                return
        with self._database.write() as connection, self._lock:
            unused = self._unused()  # less, if it is used again meanwhile
            connection.executemany(
                "DELETE FROM leases WHERE process = ? AND snapshot = ?",
                [(self._process, snapshot) for snapshot in unused],
            )
            for snapshot in unused:
                del self._used[snapshot]
                self._held.discard(snapshot)

    def hold(self, snapshot: int) -> bool:
        """Keep a state from being removed; whether it is still there to be kept."""
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
        """Lease a state that is made in this transaction."""
        with self._lock:
            self._used[snapshot] = self._begun
        connection.execute(
            "INSERT OR IGNORE INTO leases (process, snapshot) VALUES (?, ?)",
            (self._process, snapshot),
        )

    def noted(self, snapshot: int) -> None:
        """The transaction is over, unless it is part of another one."""
        if self._database.writing:
            return
        with self._lock:
            if snapshot in self._used:
                self._held.add(snapshot)

    def _unused(self) -> list[int]:
        oldest = min(self._running, default=self._begun + 1)
        return [snapshot for snapshot, newest in self._used.items() if newest < oldest]
