"""Which cache key leads to which state."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lamina.stores.database import Database

    Forms = Callable[[str], Sequence["KeyRow"]]


class KeyRow:
    """A cache key as it is kept: its id, and its structure as text for caches that travel."""

    __slots__ = ("digest", "id", "inputs")

    def __init__(self, key_id: str, digest: str, inputs: str) -> None:
        self.id = key_id
        self.digest = digest
        self.inputs = inputs

    @property
    def parts(self) -> list[str]:
        """The ids of the keys that it is made of."""
        return _parts(self.inputs)


def _parts(inputs: str) -> list[str]:
    return [line.partition(" ")[0] for line in inputs.split("\n") if line]


def _none(key_id: str) -> Sequence[KeyRow]:
    return ()


class ResultTable:
    """Rows of results by key. A result is a snapshot, or None for an empty file system."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def canonical(self, key_id: str) -> str | None:
        """The key that this one leads to, if it is an alias."""
        row = self._database.row("SELECT canonical FROM aliases WHERE key = ?", key_id)
        return str(row[0]) if row else None

    def find(self, key_id: str, output: int) -> tuple[bool, int | None]:
        """(whether there is one that can be served, its snapshot)."""
        row = self._database.row(
            "SELECT r.snapshot FROM results r WHERE r.key = ? AND r.output = ? AND ("
            " r.snapshot IS NULL OR EXISTS (SELECT 1 FROM snapshots s WHERE s.id = r.snapshot"
            " AND (s.directory IS NOT NULL"
            " OR EXISTS (SELECT 1 FROM layers l WHERE l.snapshot = s.id))))",
            key_id,
            output,
        )
        if row is None:
            return False, None
        return True, None if row[0] is None else int(row[0])

    def peek(self, key_id: str, output: int) -> int | None:
        """The snapshot of a result, though it may be a plan of a process that is gone."""
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

    def adopt(self, key: KeyRow, output: int, snapshot: int | None) -> None:
        """Remember one result that another machine made."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO results (key, output, snapshot) VALUES (?, ?, ?)",
                (key.id, output, snapshot),
            )
            self.link([key])

    def forget(self, snapshot: int) -> None:
        """Forget the results that a state is: it cannot be had any more."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM results WHERE snapshot = ?", (snapshot,))

    def save(
        self,
        keys: Sequence[KeyRow],
        snapshots: Sequence[int | None],
        noted: Forms = _none,
    ) -> None:
        """Remember the states (by output) under the first key, and the others as its aliases."""
        with self._database.write() as connection:
            canonical = keys[0]
            for output, snapshot in enumerate(snapshots):
                connection.execute(
                    "INSERT OR REPLACE INTO results (key, output, snapshot) VALUES (?, ?, ?)",
                    (canonical.id, output, snapshot),
                )
            connection.execute("DELETE FROM aliases WHERE key = ?", (canonical.id,))
            self.link(keys, noted)

    def link(self, keys: Sequence[KeyRow], noted: Forms = _none) -> None:
        """Remember the keys' structure, and that all but the first lead to the first.

        `noted` gives the forms of a key that these are made of: what of them is not remembered
        (any more) is too, and so on, so that no key is left without those that it is made of.
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
                added = [row for part in parts - self._known(parts) for row in noted(part)]
            connection.executemany(
                "INSERT OR REPLACE INTO aliases (key, canonical) VALUES (?, ?)",
                [(key.id, canonical.id) for key in keys[1:] if key.id != canonical.id],
            )

    def _known(self, key_ids: Iterable[str]) -> set[str]:
        """Those of them whose structure is remembered."""
        sql = "SELECT 1 FROM cache_keys WHERE id = ?"
        return {key_id for key_id in key_ids if self._database.row(sql, key_id)}

    def sweep(self, *, everything: bool) -> None:
        """Forget the keys that lead to no result, and of which none is made that does.

        Builds may run: one that makes keys of a forgotten one tells of that again (`link`).
        `everything`: forget too that something came to nothing, which no state's removal takes
        along.
        """
        with self._database.write() as connection:
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
