"""The parts and the lookup of a vertex's cache key.

The solver reports it to jobs that request it (`Job.lookups`), for the explanations of build
records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.solver.key import CONTENT_OUTPUT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.base.digest import Digest
    from lamina.solver.contract import R
    from lamina.solver.key import CacheKey
    from lamina.solver.node import Node


class KeyPart(NamedTuple):
    """The contribution of one input to a key.

    `vertex` and `output` identify the input. `digest` is that of the content that the op reads of
    it if `by_content`, else the id of the input's own key.
    """

    vertex: str = ""
    output: int = 0
    selector: str = ""
    digest: str = ""
    by_content: bool = False

    @property
    def content(self) -> str:
        """The name of the content's manifest, "" if it is no content."""
        return manifest_name(self.digest, self.selector) if self.by_content else ""


def manifest_name(content: str, selector: str) -> str:
    """The name of the manifest of a content digest. Equal content at other paths has another
    manifest, which the selector distinguishes."""
    return f"{content} {selector}"


class CacheLookup(NamedTuple):
    """The outcome of looking a vertex up. A later one of the same vertex replaces it.

    `key` is the id of the key that users of the vertex see; `operation` the digest of the op's own
    part of it, and `unexported` another such part. `recorded`: a store knows the key, so on a miss
    its result was removed, or an imported cache lacks it. `ignored`: the step was to run without
    the cache. `ephemeral`: the key is only valid in this build. `origin` is the cache that a
    result was imported from, "" for the own store. `resolved` is that of the `CacheMap`.
    """

    vertex: str = ""
    key: str = ""
    operation: str = ""
    unexported: str = ""
    parts: tuple[KeyPart, ...] = ()
    hit: bool = False
    recorded: bool = False
    ignored: bool = False
    ephemeral: bool = False
    origin: str = ""
    resolved: str = ""


def lookup_of(
    node: Node[R], made: CacheKey, contents: Mapping[int, Digest], *, hit: bool, origin: str = ""
) -> CacheLookup:
    """The report of a node that is about to be KEYED.

    Args:
        made: the key that was looked up last.
        contents: the digests of contents that are in it, by input.
    """
    mapped = node.cache_map
    assert mapped is not None
    return CacheLookup(
        vertex=node.spec.digest,
        key=node.key.id,
        operation=mapped.digest,
        unexported=mapped.unexported,
        parts=tuple(
            KeyPart(source.spec.digest, output, part.selector, contents[index], True)
            if part.output == CONTENT_OUTPUT
            else KeyPart(source.spec.digest, output, part.selector, part.key)
            for index, (part, (source, output)) in enumerate(
                zip(made.inputs, node.inputs, strict=True)
            )
        ),
        hit=hit,
        recorded=hit or not node.key_unseen,
        ignored=node.spec.ignore_cache,
        ephemeral=made.ephemeral,
        origin=origin,
        resolved=mapped.resolved,
    )
