"""A result store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.digest import Digest
    from lamina.solver.key import CacheKey

V = TypeVar("V")


class MemoryResults(Generic[V]):
    """Implements `lamina.solver.contract.ResultStore`: only results by key."""

    def __init__(self) -> None:
        self.kept: dict[Digest, tuple[V, ...]] = {}

    def note_key(self, key: CacheKey) -> None:
        return

    def canonical_key(self, key: CacheKey) -> CacheKey:
        return key

    def load(self, key: CacheKey, output: int) -> V | None:
        return self.kept[key.id][output] if key.id in self.kept else None

    def has(self, key: CacheKey, output: int) -> bool:
        return key.id in self.kept

    def imported_from(self, key: CacheKey, output: int) -> str:
        return ""

    def has_seen(self, key: CacheKey, output: int) -> bool:
        return key.id in self.kept

    def save(self, keys: Sequence[CacheKey], results: Sequence[V]) -> None:
        for key in keys:
            if not key.ephemeral:
                self.kept[key.id] = tuple(results)

    def hold(self, result: V) -> bool:
        return True

    def add_aliases(self, keys: Sequence[CacheKey]) -> None:
        return
