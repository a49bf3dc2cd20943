"""What is known of a graph that was solved, for the caches that it goes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.digest import Digest
    from lamina.solver.chain import ChainRecord
    from lamina.solver.key import CacheKey


class KnownResults(Protocol):
    """What is remembered under keys. `SharedResults` is one."""

    def peek(self, key: CacheKey, output: int) -> int | None: ...

    def can_be_had(self, snapshot: int) -> bool: ...

    def contents(self, key: CacheKey, output: int) -> dict[int, set[Digest]]: ...


class SolvedGraph:
    """What a build leaves for its caches: the chain, the states under its keys, the targets."""

    def __init__(
        self,
        chain: Sequence[ChainRecord],
        results: KnownResults,
        targets: Sequence[int | None],
    ) -> None:
        self.chain = chain
        self.targets = targets
        self._results = results

    def snapshot(self, record: ChainRecord) -> int | None:
        """The state that a record's result is, if it is known."""
        return None if record.key is None else self._results.peek(record.key, record.output)

    def can_be_had(self, snapshot: int) -> bool:
        """Whether the layers of a state are here, or still where they came from."""
        return self._results.can_be_had(snapshot)

    def contents(self, record: ChainRecord) -> dict[int, set[Digest]]:
        """Contents that other machines found to stand for the record's inputs."""
        if record.key is None:
            return {}
        return self._results.contents(record.key, record.output)
