"""The result store of the solver: refs by cache key, in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import Digest
from lamina.refs.ref import Ref
from lamina.solver.key import CacheKey, KeyInput
from lamina.stores.results import KeyRow, ResultTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.stores.database import Database
    from lamina.stores.snapshots import SnapshotStore


class RefResults:
    """Implements `lamina.solver.contract.ResultStore` for refs.

    A result that is a client's directory is never stored, nor is one under an ephemeral key.
    """

    def __init__(self, database: Database, snapshots: SnapshotStore) -> None:
        self._table = ResultTable(database)
        self._snapshots = snapshots
        self.served: set[int] = set()
        self._noted: dict[Digest, dict[CacheKey, None]] = {}

    def note_key(self, key: CacheKey) -> None:
        self._noted.setdefault(key.id, {})[key] = None

    def structures(self, key_id: Digest) -> list[CacheKey]:
        """All known structures of a key: see `lamina.solver.chain.KeyStructures`."""
        keys = dict(self._noted.get(key_id, {}))
        for row in self._table.structures(key_id):
            keys[_from_row(row)] = None
        return list(keys)

    def canonical_key(self, key: CacheKey) -> CacheKey:
        if key.ephemeral:
            return key
        self.note_key(key)
        found = self._table.canonical_key(key.id)
        if found is None:
            return key
        known = key._replace(id=Digest(found))
        self.note_key(known)
        return known

    def has(self, key: CacheKey, output: int) -> bool:
        found, snapshot = self._table.find(key.id, output)
        if found and snapshot is not None:
            self.served.add(snapshot)
        return found

    def has_seen(self, key: CacheKey, output: int) -> bool:
        return not key.ephemeral and bool(self._table.structures(key.id))

    def imported_from(self, key: CacheKey, output: int) -> str:
        return ""

    def load(self, key: CacheKey, output: int) -> Ref | None:
        found, snapshot = self._table.find(key.id, output)
        if not found or (snapshot is not None and not self._snapshots.hold(snapshot)):
            return None
        return Ref(snapshot)

    def snapshot_of(self, key: CacheKey, output: int) -> int | None:
        """The snapshot stored under a key. Neither held nor counted as used."""
        return self._table.snapshot_of(key.id, output)

    def save(self, keys: Sequence[CacheKey], results: Sequence[Ref]) -> None:
        rows = self._rows(keys)
        if not rows or any(result.local is not None for result in results):
            return
        canonical = keys[0]
        if canonical.inputs:  # a random key of a step that ignores the cache has none
            for key in keys[1:]:
                self.note_key(key._replace(id=canonical.id))
        self._table.save(rows, [result.snapshot for result in results], self._parts)

    def hold(self, result: Ref) -> bool:
        return result.snapshot is None or self._snapshots.hold(result.snapshot)

    def add_aliases(self, keys: Sequence[CacheKey]) -> None:
        rows = self._rows(keys)
        if len(rows) > 1:
            self._table.add_aliases(rows, self._parts)

    @staticmethod
    def _rows(keys: Sequence[CacheKey]) -> list[KeyRow]:
        return [_to_row(key) for key in keys if not key.ephemeral]

    def _parts(self, key_id: str) -> list[KeyRow]:
        """The structures of a key that others are made of, as far as this build knows them."""
        return self._rows(list(self._noted.get(Digest(key_id), ())))


def _to_row(key: CacheKey) -> KeyRow:
    inputs = "\n".join(f"{i.key} {i.output} {i.selector}" for i in key.inputs)
    return KeyRow(key.id, key.digest, inputs)


def _from_row(row: KeyRow) -> CacheKey:
    inputs = []
    for line in row.inputs.split("\n") if row.inputs else ():
        key, output, selector = line.split(" ", 2)
        inputs.append(KeyInput(Digest(key), int(output), selector))
    return CacheKey(Digest(row.id), Digest(row.digest), tuple(inputs))
