"""The files of a tree that an op reads, and their digest.

Files are walked and hashed in the order of BuildKit's `cache/contenthash`, so the digests are equal
to BuildKit's.
"""

from __future__ import annotations

import os
import re
import stat
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.digest import Digest, digest_of
from lamina.base.errors import NotFound
from lamina.base.named_tuple import NamedTuple
from lamina.base.patterns import compile_glob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lamina.refs.tree import Tree


_LARGE = 4 << 20
_AT_ONCE = 4


class Selector(NamedTuple):
    """The files to read: `path`, the matches of its wildcards, or what patterns select below it."""

    path: str
    wildcard: bool = False
    follow_links: bool = False
    include_patterns: tuple[str, ...] = ()
    exclude_patterns: tuple[str, ...] = ()
    required_paths: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        return not (self.wildcard or self.include_patterns or self.exclude_patterns)


class Filter:
    """Include and exclude patterns, for paths relative to the source of a copy."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._include = _matcher(include)
        self._exclude = _matcher(exclude)

    def takes(self, path: str) -> bool:
        """Whether a path is selected; the source itself ("") always is."""
        if not path:
            return self._include is None
        if self._include is not None and not self._include(path):
            return False
        return self._exclude is None or not self._exclude(path)


def digest_selection(tree: Tree, selectors: Sequence[Selector]) -> Digest:
    """The digest of all files that the selectors select. Raises NotFound."""
    chosen = selectors or (Selector("/"),)
    known = _digest_large(tree, chosen) if len(chosen) > 1 else {}
    digests = [known.get(selector) or _digest_one(tree, selector) for selector in chosen]
    tree.save_digests()
    return digest_of(b"\0".join(digest.encode() for digest in digests))


def selected(
    tree: Tree, selectors: Sequence[Selector]
) -> Iterator[tuple[str, str, os.stat_result]]:
    """The selected files: (name in the selector's spelling, path, status). Directories come with
    everything below them. Raises NotFound."""
    for selector in selectors or (Selector("/"),):
        if selector.plain:
            path, status = tree.find(selector.path, follow=selector.follow_links)
            yield path, path, status
            if stat.S_ISDIR(status.st_mode):
                yield from ((child, child, below) for child, below in tree.walk(path))
            continue
        for name, _ in _entries(tree, selector)[1]:
            path, status = tree.find(name, follow=False)
            yield name, path, status


def _is_large(tree: Tree, selector: Selector) -> bool:
    """Whether it is a file that takes longer to hash than a thread takes to start."""
    if not selector.plain:
        return False
    status = tree.lstat(tree.resolve(selector.path, follow_last=selector.follow_links))
    return status is not None and stat.S_ISREG(status.st_mode) and status.st_size >= _LARGE


def _digest_large(tree: Tree, selectors: Sequence[Selector]) -> dict[Selector, Digest]:
    """The digests of the large files, hashed in parallel, if there are several."""
    found: dict[Selector, Digest] = {}
    large = [selector for selector in selectors if _is_large(tree, selector)]
    if len(large) > 1:
        from lamina.system.cancel import Cancellation
        from lamina.system.threads import in_parallel

        def digest(selector: Selector, _: Cancellation) -> None:
            found[selector] = _digest_one(tree, selector)

        in_parallel(large, digest, _AT_ONCE, Cancellation())
    return found


def _digest_one(tree: Tree, selector: Selector) -> Digest:
    if selector.plain:
        path, status = tree.find(selector.path, follow=selector.follow_links)
        return tree.digest(path, status)
    pattern = selector.path.strip("/")
    prefix, found = _entries(tree, selector)
    for required in selector.required_paths:
        if not any(name.startswith(required.strip("/")) for name, _ in found):
            raise NotFound(f'"{required}": not found')
    if not found:
        return digest_of(b"")
    if len(found) == 1 and os.path.basename(pattern) == os.path.basename(found[0][0]):
        return found[0][1]
    hashed = sha256()
    for name, digest in found:
        relative = name[len(prefix) :].strip("/")
        hashed.update(b"".join(b"\0" + os.fsencode(part) for part in relative.split("/")))
        hashed.update(digest.encode())
    return Digest("sha256:" + hashed.hexdigest())


def _entries(tree: Tree, selector: Selector) -> tuple[str, list[tuple[str, Digest]]]:
    """The entries that a selector with wildcards or patterns selects. Raises NotFound.

    Returns the part of the names that is not digested, and names with digests.
    """
    pattern = selector.path.strip("/")
    if selector.wildcard:
        sources = expand_wildcard(tree, pattern)
        prefix = split_wildcard(pattern)[0]
    else:
        parent, _, last = pattern.rpartition("/")
        above = tree.resolve(parent)
        sources = [(pattern, f"{above}/{last}" if above else last)]
        prefix = pattern
        if tree.lstat(sources[0][1]) is None:
            raise NotFound(f'"/{pattern}": not found')
    chosen = Filter(selector.include_patterns, selector.exclude_patterns)
    return prefix, [
        entry
        for shown, real in sources
        for entry in _taken(tree, shown, real, chosen, follow=selector.follow_links)
    ]


def _taken(
    tree: Tree, shown: str, real: str, chosen: Filter, *, follow: bool
) -> Iterator[tuple[str, Digest]]:
    """The entries that patterns select of a file, or of a directory and everything below it, and
    the directories that lead to them. The root of a tree is included only for its content."""
    status = tree.lstat(real)
    assert status is not None
    if not stat.S_ISDIR(status.st_mode):
        if chosen.takes(""):
            yield shown, _followed(tree, real, status) if follow else tree.digest(real, status)
        return
    # Directories that were entered and are not selected yet.
    leading: list[tuple[str, str, os.stat_result]] = []
    if shown:
        leading.append((shown, real, status))
        if chosen.takes(""):
            yield shown, tree.entry_digest(real, status)
            leading.clear()
    for child, child_status in tree.walk(real):
        below = child[len(real) + 1 :] if real else child
        name = f"{shown}/{below}" if shown else below
        while leading and not name.startswith(leading[-1][0] + "/"):
            leading.pop()
        if chosen.takes(below):
            for folder, path, folder_status in leading:
                yield folder, tree.entry_digest(path, folder_status)
            leading.clear()
            # Links directly below the root are followed, as those that are named.
            named = follow and not shown and "/" not in below
            yield (
                name,
                _followed(tree, child, child_status)
                if named
                else tree.entry_digest(child, child_status),
            )
        elif stat.S_ISDIR(child_status.st_mode):
            leading.append((name, child, child_status))


def _followed(tree: Tree, path: str, status: os.stat_result) -> Digest:
    """The digest of the target of a link; of the entry itself if it is no link or is broken."""
    if stat.S_ISLNK(status.st_mode):
        try:
            return tree.digest(*tree.find(path, follow=True))
        except NotFound:
            pass
    return tree.entry_digest(path, status)


def outermost(paths: Sequence[str]) -> list[str]:
    """Paths without those below others of them, sorted; a single one is returned unchanged."""
    if len(paths) <= 1:
        return list(paths)
    distinct = set(paths)
    return sorted(
        path
        for path in distinct
        if not any(
            other != path and path.startswith(other if other.endswith("/") else other + "/")
            for other in distinct
        )
    )


def distinct_selectors(selectors: Sequence[Selector]) -> list[Selector]:
    """Selectors without those that others include, in the order in which they are digested."""
    plain = outermost([s.path for s in selectors if s.plain and not s.follow_links])
    followed = outermost([s.path for s in selectors if s.plain and s.follow_links])
    found = [Selector(path) for path in plain]
    found += [Selector(path, follow_links=True) for path in followed]
    found += [selector for selector in selectors if not selector.plain]
    return sorted(found, key=lambda selector: selector.path)


def contains_wildcard(path: str) -> bool:
    """Whether a path has an unescaped `*`, `?` or `[`."""
    return bool(re.search(r"(?<!\\)(?:\\\\)*[*?\[]", path))


def split_wildcard(pattern: str) -> tuple[str, str]:
    """The leading parts of a pattern without wildcards, and the rest."""
    parts = [part for part in pattern.split("/") if part]
    for index, part in enumerate(parts):
        if contains_wildcard(part):
            return "/".join(parts[:index]), "/".join(parts[index:])
    return "/".join(parts), ""


def expand_wildcard(tree: Tree, pattern: str) -> list[tuple[str, str]]:
    """The matches of a pattern as (path in the pattern's spelling, path in the tree), by name.

    Links in the part before the first wildcard are followed.
    """
    fixed, rest = split_wildcard(pattern)
    if not rest:
        plain = re.sub(r"\\(.)", r"\1", fixed)
        return [(plain, plain)] if _is_there(tree, fixed) else []
    try:
        start, status = tree.find(fixed, follow=True)
    except NotFound:
        return []
    if not stat.S_ISDIR(status.st_mode):
        return []
    found = [("", start)]
    for part in rest.split("/"):
        matches = compile_glob(part)
        deeper: list[tuple[str, str]] = []
        for shown, real in found:
            here = tree.lstat(real)
            if here is None or not stat.S_ISDIR(here.st_mode):
                continue
            deeper.extend(
                (f"{shown}/{name}" if shown else name, f"{real}/{name}" if real else name)
                for name, _ in tree.children(real)
                if matches(name)
            )
        found = deeper
    return [(f"{fixed}/{shown}" if fixed else shown, real) for shown, real in found]


def _is_there(tree: Tree, path: str) -> bool:
    try:
        tree.find(path, follow=True)
    except NotFound:
        return False
    return True


def _matcher(patterns: Sequence[str]) -> Callable[[str], bool] | None:
    if not patterns:
        return None
    from lamina.base.patterns import PatternMatcher

    return PatternMatcher(patterns).matches
