"""The `local://` source: a folder that the client lends, read where it lies.

Nothing is transferred or copied: the ref is a view of the folder through the ignore patterns.
What the build reads of it is known by its content, so the view itself is never a cache key.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.digest import digest_of
from lamina.base.errors import InvalidInput
from lamina.refs.ref import Ref
from lamina.refs.stat_cache import StatCache
from lamina.refs.tree import Tree
from lamina.solver.contract import CacheMap

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.session.contract import Session
    from lamina.solver.contract import OpContext

EXCLUDE_PATTERNS = "local.excludepatterns"
INCLUDE_PATTERNS = "local.includepattern"


class LocalSource:
    """One lent folder. `caches` is where digests of its files are remembered between builds."""

    def __init__(self, name: str, attrs: dict[str, str], session: Session, caches: str) -> None:
        self._name = name
        self._attrs = attrs
        self._session = session
        self._caches = caches

    def cache_map(self, context: OpContext) -> CacheMap:
        return CacheMap(digest_of(os.urandom(32)), ephemeral=True)

    def fetch(self, context: OpContext) -> Ref:
        path = os.path.realpath(self._session.folder(self._name).path)
        name = sha256(os.fsencode(path)).hexdigest()[:24]
        cache = StatCache(os.path.join(self._caches, name))
        tree = Tree(path, excluded=self._excluded(), owner=(0, 0), cache=cache)
        return Ref(local=tree)

    def _excluded(self) -> Callable[[str, bool], tuple[bool, bool]] | None:
        patterns = _patterns(self._attrs.get(EXCLUDE_PATTERNS, ""))
        if not patterns:
            return None
        from lamina.base.patterns import PatternMatcher

        matcher = PatternMatcher(patterns)
        final = not any(pattern.startswith("!") for pattern in patterns)

        def excluded(path: str, is_directory: bool) -> tuple[bool, bool]:
            return matcher.matches(path), final

        return excluded


def _patterns(text: str) -> list[str]:
    if not text:
        return []
    try:
        patterns = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"malformed patterns of a local source: {error}") from error
    return [str(pattern) for pattern in patterns]
