"""A solved graph and its results, as cache export reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.base.digest import Digest
    from lamina.solver.chain import ChainRecord
    from lamina.solver.key import CacheKey


class KnownResults(Protocol):
    """Reads stored results. Implemented by `SharedResults`."""

    def snapshot_of(self, key: CacheKey, output: int) -> int | None: ...

    def is_available(self, snapshot: int) -> bool: ...

    def contents(self, key: CacheKey, output: int) -> dict[int, set[Digest]]: ...


class SolvedGraph:
    """The cache chain of a build, the snapshots of its results, and its targets.

    `seconds` are the times of the steps that made snapshots in this build, by snapshot.
    """

    def __init__(
        self,
        chain: Sequence[ChainRecord],
        results: KnownResults,
        targets: Sequence[int | None],
        seconds: Mapping[int, float],
    ) -> None:
        self.chain = chain
        self.targets = targets
        self.seconds = seconds
        self._results = results

    def snapshot(self, record: ChainRecord) -> int | None:
        """The snapshot of a record's result, or None if it has none."""
        return None if record.key is None else self._results.snapshot_of(record.key, record.output)

    def is_available(self, snapshot: int) -> bool:
        """Whether all layers of a snapshot are in the store or can be fetched."""
        return self._results.is_available(snapshot)

    def contents(self, record: ChainRecord) -> dict[int, set[Digest]]:
        """The contents that other machines recorded for the record's inputs."""
        if record.key is None:
            return {}
        return self._results.contents(record.key, record.output)
