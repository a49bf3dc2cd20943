"""The port of a source: something outside that becomes a ref."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lamina.refs.ref import Ref
    from lamina.solver.contract import CacheMap, OpContext


class Source(Protocol):
    def cache_map(self, context: OpContext) -> CacheMap:
        """Find out what the source is at present (a tag's digest, a URL's content)."""
        ...

    def fetch(self, context: OpContext) -> Ref:
        """Make a ref of exactly what `cache_map` found; lazily where it can."""
        ...
