"""The solver's result store: cache keys to refs, kept in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.refs.ref import Ref
from lamina.stores.results import KeyRow, ResultTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.solver.key import CacheKey
    from lamina.stores.database import Database


class RefResults:
    """Implements `lamina.solver.contract.ResultStore` for refs.

    A result that is a client's folder is never remembered, nor is one under an ephemeral key.
    """

    def __init__(self, database: Database) -> None:
        self._table = ResultTable(database)
        self.served: set[int] = set()

    def canonical(self, key: CacheKey) -> CacheKey:
        if key.ephemeral:
            return key
        found = self._table.canonical(key.id)
        if found is None:
            return key
        from lamina.base.digest import Digest

        return key._replace(id=Digest(found))

    def has(self, key: CacheKey, output: int) -> bool:
        found, snapshot = self._table.find(key.id, output)
        if found and snapshot is not None:
            self.served.add(snapshot)
        return found

    def load(self, key: CacheKey, output: int) -> Ref | None:
        found, snapshot = self._table.find(key.id, output)
        return Ref(snapshot) if found else None

    def save(self, keys: Sequence[CacheKey], results: Sequence[Ref]) -> None:
        rows = self._rows(keys)
        if not rows or any(result.local is not None for result in results):
            return
        self._table.save(rows, [result.snapshot for result in results])

    def link(self, keys: Sequence[CacheKey]) -> None:
        rows = self._rows(keys)
        if len(rows) > 1:
            self._table.link(rows)

    @staticmethod
    def _rows(keys: Sequence[CacheKey]) -> list[KeyRow]:
        return [
            KeyRow(
                key.id,
                key.digest,
                "\n".join(f"{i.key} {i.output} {i.selector}" for i in key.inputs),
            )
            for key in keys
            if not key.ephemeral
        ]
