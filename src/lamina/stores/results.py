"""Results by cache key: which snapshot is the result of which key."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lamina.stores.database import Database

    Structures = Callable[[str], Sequence["KeyRow"]]


_REMEMBER = 90 * 86_400.0  # seconds for which the removal of a result is remembered


class KeyRow:
    """A recorded cache key: its id, and its structure as text, which cache export needs."""

    __slots__ = ("digest", "id", "inputs")

    def __init__(self, key_id: str, digest: str, inputs: str) -> None:
        self.id = key_id
        self.digest = digest
        self.inputs = inputs

    @property
    def parts(self) -> list[str]:
        """The ids of the keys that this one is made of."""
        return _parts(self.inputs)


def _parts(inputs: str) -> list[str]:
    return [line.partition(" ")[0] for line in inputs.split("\n") if line]


def _none(key_id: str) -> Sequence[KeyRow]:
    return ()


class ResultTable:
    """Rows of results by key. A result is a snapshot, or None for an empty file system."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def canonical_key(self, key_id: str) -> str | None:
        """The canonical key if this one is an alias, else None."""
        row = self._database.row("SELECT canonical FROM aliases WHERE key = ?", key_id)
        return str(row[0]) if row else None

    def find(self, key_id: str, output: int) -> tuple[bool, int | None]:
        """(whether there is a result whose files exist or can be made, its snapshot)."""
        row = self._database.row(
            "SELECT r.snapshot FROM results r WHERE r.key = ? AND r.output = ? AND ("
            " r.snapshot IS NULL OR EXISTS (SELECT 1 FROM snapshots s WHERE s.id = r.snapshot"
            " AND (s.directory IS NOT NULL"
            " OR EXISTS (SELECT 1 FROM layers l WHERE l.snapshot = s.id"
            " AND instr(l.recipe, '@') = 0))))",
            key_id,
            output,
        )
        if row is None:
            return False, None
        return True, None if row[0] is None else int(row[0])

    def snapshot_of(self, key_id: str, output: int) -> int | None:
        """The snapshot of a result, even if nothing is left of its files."""
        row = self._database.row(
            "SELECT snapshot FROM results WHERE key = ? AND output = ?", key_id, output
        )
        return None if row is None or row[0] is None else int(row[0])

    def structures(self, key_id: str) -> list[KeyRow]:
        """The structures of a key: its own, and those of its aliases."""
        rows = self._database.rows(
            "SELECT digest, inputs FROM cache_keys WHERE id = ? OR id IN"
            " (SELECT key FROM aliases WHERE canonical = ?)",
            key_id,
            key_id,
        )
        return [KeyRow(key_id, digest, inputs) for digest, inputs in rows]

    def add(self, key: KeyRow, output: int, snapshot: int | None) -> None:
        """Store one result, which another machine made."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO results (key, output, snapshot) VALUES (?, ?, ?)",
                (key.id, output, snapshot),
            )
            self.add_aliases([key])

    def removed_at(self, key_id: str) -> float | None:
        """The time when the result of a key was last removed (seconds since the epoch).

        None if it was not, or too long ago.
        """
        row = self._database.row("SELECT removed FROM pruned WHERE key = ?", key_id)
        return None if row is None else float(row[0])

    def remove(self, snapshot: int) -> None:
        """Remove the results that are this snapshot."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM results WHERE snapshot = ?", (snapshot,))

    def save(
        self,
        keys: Sequence[KeyRow],
        snapshots: Sequence[int | None],
        structures_of: Structures = _none,
    ) -> None:
        """Store snapshots, by output, under the first key; the other keys become its aliases."""
        with self._database.write() as connection:
            canonical = keys[0]
            for output, snapshot in enumerate(snapshots):
                connection.execute(
                    "INSERT OR REPLACE INTO results (key, output, snapshot) VALUES (?, ?, ?)",
                    (canonical.id, output, snapshot),
                )
            connection.execute("DELETE FROM aliases WHERE key = ?", (canonical.id,))
            self.add_aliases(keys, structures_of)

    def add_aliases(self, keys: Sequence[KeyRow], structures_of: Structures = _none) -> None:
        """Record the structure of keys, and make all but the first aliases of the first.

        `structures_of` returns the structures of a key that these are made of. Those that are not
        recorded (any more) are recorded too, recursively: a key is never left without its parts.
        """
        canonical = keys[0]
        with self._database.write() as connection:
            added = list(keys)
            while added:
                connection.executemany(
                    "INSERT OR IGNORE INTO cache_keys (id, digest, inputs) VALUES (?, ?, ?)",
                    [(key.id, key.digest, key.inputs) for key in added],
                )
                parts = {part for key in added for part in key.parts}
                added = [row for part in parts - self._known(parts) for row in structures_of(part)]
            connection.executemany(
                "INSERT OR REPLACE INTO aliases (key, canonical) VALUES (?, ?)",
                [(key.id, canonical.id) for key in keys[1:] if key.id != canonical.id],
            )

    def _known(self, key_ids: Iterable[str]) -> set[str]:
        """The keys of these whose structure is recorded."""
        sql = "SELECT 1 FROM cache_keys WHERE id = ?"
        return {key_id for key_id in key_ids if self._database.row(sql, key_id)}

    def sweep(self, *, everything: bool) -> None:
        """Remove the keys that have no result, unless a key with a result is made of them.

        Builds may be running: one that makes keys of a removed one records it again
        (`add_aliases`). `everything`: remove empty results too, which have no snapshot whose
        removal would remove them.
        """
        with self._database.write() as connection:
            connection.execute("DELETE FROM pruned WHERE removed < ?", (time.time() - _REMEMBER,))
            if everything:
                connection.execute("DELETE FROM results WHERE snapshot IS NULL")
            connection.execute(
                "DELETE FROM aliases WHERE NOT EXISTS"
                " (SELECT 1 FROM results WHERE results.key = aliases.canonical)"
            )
            known: dict[str, str] = dict(connection.execute("SELECT id, inputs FROM cache_keys"))
            wanted = {
                row[0]
                for row in connection.execute(
                    "SELECT key FROM results UNION SELECT key FROM aliases"
                )
            }
            needed: set[str] = set()
            while wanted:
                key_id = wanted.pop()
                inputs = known.get(key_id)
                if inputs is None or key_id in needed:
                    continue
                needed.add(key_id)
                wanted.update(_parts(inputs))
            connection.executemany(
                "DELETE FROM cache_keys WHERE id = ?",
                [(key_id,) for key_id in known if key_id not in needed],
            )
