"""The `local://` source: a directory that the client provides, read in place.

In the client's own process nothing is transferred or copied: the ref is a view of the directory
without the ignored files. The files that a build reads are identified by their content, so the view
itself is never a cache key.
"""

from __future__ import annotations

import json
import os
import time
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.booleans import parse_bool
from lamina.base.digest import digest_of
from lamina.base.errors import InvalidInput, Unsupported
from lamina.base.events import StatusEvent
from lamina.refs.ref import Ref
from lamina.refs.stat_cache import StatCache
from lamina.refs.tree import Tree
from lamina.session.contract import FolderRequest
from lamina.solver.contract import CacheMap
from lamina.system.changes import tells_of_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lamina.session.contract import Session
    from lamina.solver.contract import OpContext
    from lamina.sources.material import Material


_PERIOD = 0.1  # seconds


class LocalSource:
    """One directory of the client. `caches` keeps digests of its files between builds."""

    def __init__(self, name: str, attrs: Mapping[str, str], session: Session, caches: str) -> None:
        self._name = name
        self._wanted = folder_request(attrs)
        self._session = session
        self._caches = caches

    def cache_map(self, context: OpContext) -> CacheMap:
        return CacheMap(digest_of(os.urandom(32)), ephemeral=True)

    def material(self) -> Material | None:
        from lamina.sources.material import LocalMaterial

        return LocalMaterial(self._name)

    def fetch(self, context: OpContext) -> Ref:
        shown = _Transfer(self._name, context)
        folder = self._session.folder(self._name, self._wanted, context.cancel, shown)
        shown.end()
        path = os.path.realpath(folder.path)
        if self._wanted.listing is not None and not folder.filtered:
            raise Unsupported("local.metadatatransfer requires a daemon")
        name = sha256(os.fsencode(path)).hexdigest()[:24]
        kept = os.path.join(self._caches, name) if tells_of_changes(path) else ""
        cache = StatCache(kept, os.stat(path).st_dev)
        excluded = None if folder.filtered else _excluded(self._wanted, path)
        tree = Tree(
            path,
            excluded=excluded,
            owner=folder.owner,
            cache=cache,
            name=self._name,
            # a filtered directory is a copy, which no other process changes
            live=not folder.filtered,
            revision=folder.revision,
        )
        return Ref(local=tree)


def folder_request(attrs: Mapping[str, str]) -> FolderRequest:
    """Convert a source's attributes to a request to the client. Raises InvalidInput."""
    return FolderRequest(
        _words(attrs, "local.includepattern"),
        _words(attrs, "local.excludepatterns"),
        _words(attrs, "local.followpaths"),
        attrs.get("local.sharedkeyhint", ""),
        attrs.get("local.differ", ""),
        attrs.get("local.session", ""),
        _listing(attrs),
    )


class _Transfer:
    """Shows the progress of a client's transfer, at a limited rate."""

    def __init__(self, name: str, context: OpContext) -> None:
        self._name = name
        self._context = context
        self._started = time.time()
        self._reported = 0.0
        self._sent = -1

    def __call__(self, sent: int) -> None:
        self._sent = sent
        now = time.time()
        if now - self._reported >= _PERIOD:
            self._reported = now
            self._tell(now, None)

    def end(self) -> None:
        if self._sent >= 0:
            now = time.time()
            self._tell(now, now)

    def _tell(self, now: float, completed: float | None) -> None:
        self._context.emit(
            StatusEvent(
                self._context.digest,
                f"transferring {self._name}:",
                now,
                self._sent,
                started=self._started,
                completed=completed,
                name="transferring",
            )
        )


def _excluded(wanted: FolderRequest, root: str) -> Callable[[str, bool], tuple[bool, bool]] | None:
    """A predicate for files that count as absent, None if there are none.

    Without include patterns, paths to follow are ignored: they only reduce a transfer, and there is
    none.
    """
    if not (wanted.include_patterns or wanted.exclude_patterns):
        return None
    from lamina.session.path_selection import Selection

    followed = wanted.follow_paths if wanted.include_patterns else ()
    selection = Selection(wanted.include_patterns, wanted.exclude_patterns, followed, root=root)

    def excluded(path: str, is_directory: bool) -> tuple[bool, bool]:
        taken, below = selection.classify(path, is_directory)
        return not taken, not below

    return excluded


def _listing(attrs: Mapping[str, str]) -> tuple[str, ...] | None:
    text = attrs.get("local.metadatatransfer", "false")
    wanted = parse_bool(text)
    if wanted is None:
        raise InvalidInput(f'invalid value for local.metadatatransfer "{text}"')
    return _words(attrs, "local.metadatatransferexclude") if wanted else None


def _words(attrs: Mapping[str, str], key: str) -> tuple[str, ...]:
    text = attrs.get(key, "")
    if not text:
        return ()
    try:
        words = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"malformed {key}: {error}") from error
    if not isinstance(words, list):
        raise InvalidInput(f"malformed {key}: not a list")
    return tuple(map(str, words))
