"""New keys for a node whose op read something else than what the node's keys were made of.

Content is digested before an op runs, and a client's folder can change in between. The results are
then remembered under the key of what was read. Nodes that were keyed by the former key go through
their phases again before they run (`Node.outdated`).
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
    """The keys of a node whose inputs were read as `revisions` says (by index), and the keys of
    contents that they are made of.

    If one of the contents is not known, the key is ephemeral: nobody can ask for it again.
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
    if node.spec.ignore_cache:  # it has a key of its own, which the others lead to
        return (node.keys[0], key), tuple(contents)
    return (key,), tuple(contents)
