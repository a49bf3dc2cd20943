"""A client's directory as it was when it was first read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.digest import Digest, digest_of
from lamina.refs.filehash import same_file
from lamina.refs.selection import digest_selection
from lamina.refs.stat_cache import StatCache
from lamina.refs.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.refs.selection import Selector


class LiveTree(Tree):
    """A view of a client's directory, which can change while a build reads it. Thread-safe.

    Listings, statuses, links and digests are read once. So a copy is planned from the data that the
    cache key was made of. The content of a file is compared with its digest when it is copied
    (`lamina.refs.reading`).
    """

    def __init__(self, folder: Tree) -> None:
        super().__init__(
            folder.root,
            excluded=folder._excluded,
            owner=folder.owner,
            cache=folder._cache,
            name=folder.name,
            live=True,
        )
        self._listings: dict[str, list[tuple[str, os.stat_result]]] = {}
        self._named: dict[str, dict[str, os.stat_result]] = {}  # listings, by name
        self._alone: dict[str, dict[str, os.stat_result | None]] = {}  # by directory and name
        self._links: dict[str, str | None] = {}
        self._digests: dict[str, Digest] = {}

    def lstat(self, path: str) -> os.stat_result | None:
        parent, _, name = path.rpartition("/")
        if path and parent in self._listings:
            named = self._named.get(parent)
            if named is None:
                named = self._named[parent] = dict(self._listings[parent])
            return named.get(name)
        known = self._alone.setdefault(parent, {})
        if name not in known:
            known.setdefault(name, super().lstat(path))
        return known[name]

    def children(self, path: str) -> list[tuple[str, os.stat_result]]:
        known = self._listings.get(path)
        if known is not None:
            return known
        found = super().children(path)
        alone = self._alone.get(path)
        if alone:
            seen = [(name, alone.get(name, status)) for name, status in found]
            found = [(name, status) for name, status in seen if status is not None]
        return self._listings.setdefault(path, found)

    def readlink(self, path: str) -> str | None:
        if path not in self._links:
            self._links.setdefault(path, super().readlink(path))
        return self._links[path]

    def entry_digest(self, path: str, status: os.stat_result) -> Digest:
        known = self._digests.get(path)
        if known is None:
            known = self._digests.setdefault(path, super().entry_digest(path, status))
        return known

    def unchanged(self, path: str) -> bool:
        """Whether the status of a file is still the same."""
        first = self.lstat(path)
        try:
            return first is not None and same_file(first, os.lstat(self.real(path)))
        except OSError:
            return False

    def untouched(self, selectors: Sequence[Selector]) -> bool:
        """Whether no selected file was changed since it was first read, not even temporarily."""
        now = LiveTree(self)
        if digest_selection(_Statuses(self), selectors) != digest_selection(
            _Statuses(now), selectors
        ):
            return False
        # Some file systems do not show every change in the status.
        return digest_selection(self, selectors) == digest_selection(now, selectors)


class _Statuses(LiveTree):
    """A view of a tree in which the digest of a file is the digest of its status."""

    def __init__(self, tree: LiveTree) -> None:
        super().__init__(tree)
        self._cache = StatCache("")
        self._listings, self._alone, self._links = tree._listings, tree._alone, tree._links

    def entry_digest(self, path: str, status: os.stat_result) -> Digest:
        identity = (
            status.st_dev,
            status.st_ino,
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )
        return digest_of(repr(identity).encode())
