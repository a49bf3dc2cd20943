"""The port of a source: external data that becomes a ref."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lamina.base.digest import digest_of

if TYPE_CHECKING:
    from lamina.base.digest import Digest
    from lamina.refs.ref import Ref
    from lamina.session.contract import Session
    from lamina.solver.contract import CacheMap, OpContext
    from lamina.sources.material import Material
    from lamina.sources.pins import Pins


class Source(Protocol):
    def cache_map(self, context: OpContext) -> CacheMap:
        """Resolve the source: find a tag's digest or a URL's content."""
        ...

    def material(self) -> Material | None:
        """The result of `cache_map`, for provenance; None before it."""
        ...

    def fetch(self, context: OpContext) -> Ref:
        """Make a ref of exactly what `cache_map` found, lazily if possible."""
        ...


class Requester(Protocol):
    """A build that needs a source, or the builds that share the step."""

    @property
    def session(self) -> Session: ...

    @property
    def pins(self) -> Pins:
        """Earlier resolutions of the build's sources."""
        ...


def source_digest(key: str) -> Digest:
    """The cache digest of a source with the key `key`, as BuildKit computes it."""
    return digest_of(b"buildkit.source.v0:" + key.encode("utf-8", "surrogateescape"))
