"""Digests of what ops read of clients' directories, kept for builds that find nothing changed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.digest import Digest
    from lamina.refs.selection import Selector
    from lamina.refs.tree import Tree

_MOST = 1000
_Key = tuple[str, tuple[int, int] | None, tuple["Selector", ...]]


class RevisionDigests:
    """The digests of selections of trees that have a revision. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._digests: dict[_Key, Digest] = {}  # the latest last

    def get(self, tree: Tree, selectors: Sequence[Selector]) -> Digest | None:
        with self._lock:
            return self._digests.get((tree.revision, tree.owner, tuple(selectors)))

    def add(self, tree: Tree, selectors: Sequence[Selector], digest: Digest) -> None:
        if not tree.revision:
            return
        with self._lock:
            self._digests[tree.revision, tree.owner, tuple(selectors)] = digest
            if len(self._digests) > _MOST:
                del self._digests[next(iter(self._digests))]
