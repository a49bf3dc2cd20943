"""Revised keys of a node whose input changed between digesting and reading it.

A client's directory can change after its content was digested for the cache key. The results are
then stored under the key of the content that was read. Users whose keys were made of the former key
go through their phases again before they run (`Node.outdated`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.digest import Digest, digest_of
from lamina.solver.key import CONTENT_OUTPUT, CacheKey, content_input, make_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.solver.contract import R
    from lamina.solver.node import Node


def revised_keys(
    node: Node[R], revisions: Mapping[int, Digest | None]
) -> tuple[tuple[CacheKey, ...], tuple[CacheKey, ...]]:
    """The new keys of a node, and the keys of the contents that they are made of.

    `revisions` are the digests of what was read, by input. If one of them is None, the key is
    ephemeral.
    """
    by_content = next(
        (key for key in node.keys if any(part.output == CONTENT_OUTPUT for part in key.inputs)),
        None,
    )
    if by_content is None or None in revisions.values():
        return (make_key(digest_of(os.urandom(32)), ephemeral=True),), ()
    parts = list(by_content.inputs)
    contents = []
    for index, digest in revisions.items():
        assert digest is not None
        contents.append(make_key(digest))
        parts[index] = content_input(contents[-1], parts[index].selector)
    key = node.make_key(parts, ephemeral=by_content.ephemeral)
    if node.spec.ignore_cache:  # its first key is random, and the others are aliases of it
        return (node.keys[0], key), tuple(contents)
    return (key,), tuple(contents)
