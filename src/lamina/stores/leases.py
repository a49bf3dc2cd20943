"""What a living process's builds may be using, for those who remove things meanwhile.

A lease is a row: a process and a state. It is made together with the state, or when a state is
found, in one step with seeing that it is still there; whoever removes a state does that in a
transaction that first looks for leases. So of the two one always sees the other, in whatever
process each of them runs.

A process lets go of everything when none of its builds runs. What it holds in between is more
than it needs, never less: states pass from one build to another through the shared graph. The
leases of a process that died count for nothing, as its `tmp/<process>.lock` is free.
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
        self._held: set[int] = set()
        self._builds = 0

    def enter(self) -> None:
        """A build begins."""
        with self._lock:
            self._builds += 1

    def leave(self) -> None:
        """A build has ended; with the last one everything is let go."""
        with self._lock:
            self._builds -= 1
            if self._builds:
                return
            self._held.clear()
        if self._database.row("SELECT 1 FROM leases WHERE process = ? LIMIT 1", self._process):
            with self._database.write() as connection, self._lock:
                if not self._builds:  # else another began meanwhile, and may hold some of them
                    connection.execute("DELETE FROM leases WHERE process = ?", (self._process,))

    def hold(self, snapshot: int) -> bool:
        """Keep a state from being removed; whether it is still there to be kept."""
        with self._lock:
            if snapshot in self._held:
                return True
        certain = not self._database.writing  # else only once that is committed
        with self._database.write() as connection:
            there = connection.execute(
                "SELECT 1 FROM snapshots WHERE id = ?", (snapshot,)
            ).fetchone()
            if there is None:
                return False
            self.note(connection, snapshot)
        if certain:
            with self._lock:
                self._held.add(snapshot)
        return True

    def note(self, connection: sqlite3.Connection, snapshot: int) -> None:
        """Lease a state that is made in this transaction."""
        connection.execute(
            "INSERT OR IGNORE INTO leases (process, snapshot) VALUES (?, ?)",
            (self._process, snapshot),
        )
