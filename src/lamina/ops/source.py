"""The source op: returns the ref of a source."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.refs.ref import Ref
    from lamina.solver.contract import CacheMap, OpContext
    from lamina.sources.contract import Source
    from lamina.sources.material import Material


class SourceOperation:
    def __init__(self, source: Source) -> None:
        self._source = source

    def cache_map(self, context: OpContext) -> CacheMap:
        return self._source.cache_map(context)

    def material(self) -> Material | None:
        """See `lamina.sources.contract.Source`."""
        return self._source.material()

    def execute(self, context: OpContext, inputs: Sequence[Ref]) -> Sequence[Ref]:
        return [self._source.fetch(context)]
