"""Selects files of a directory by patterns to include, patterns to exclude, and paths to follow.

The rules are fsutil's: a path is selected if an include pattern matches it or a parent (no
patterns: all paths), and no exclude pattern does. The parents of selected files are selected too.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.patterns import PatternMatcher, clean, compile_glob

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MAX_LINKS = 255


class Selection:
    """Selects paths. Raises InvalidInput for a malformed pattern.

    Args:
        follow: paths whose symbolic links are followed in `root`; wildcards are allowed. The paths
            and their targets count as include patterns.
    """

    def __init__(
        self,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        follow: Sequence[str] = (),
        *,
        root: str = "",
    ) -> None:
        patterns = list(include)
        if follow:
            found = follow_links(root, follow)
            patterns = [] if found is None else _without_nested(sorted({*patterns, *found}))
        self._include = PatternMatcher(patterns) if patterns else None
        self._exclude = PatternMatcher(exclude) if exclude else None
        self._roots_included = _fixed_roots(self._include, negated=False)
        self._roots_excepted = _fixed_roots(self._exclude, negated=True)

    @property
    def everything(self) -> bool:
        return self._include is None and self._exclude is None

    def classify(self, path: str, is_directory: bool) -> tuple[bool, bool]:
        """Whether a path is selected, and if not, whether a path below it may be."""
        taken = below = True
        if self._include is not None and not self._include.matches(path):
            taken = False
            below = is_directory and _may_hold(path, self._roots_included)
        if below and self._exclude is not None and self._exclude.matches(path):
            taken = False
            below = is_directory and _may_hold(path, self._roots_excepted)
        return taken, below


def follow_links(root: str, paths: Iterable[str]) -> list[str] | None:
    """The paths, with every link on them and its target, as if `root` were `/`.

    None if that is the whole directory. A path that does not exist is kept. Raises InvalidInput.
    """
    found: set[str] = set()
    seen: set[str] = set()
    todo = [(clean("/" + path)[1:], 0) for path in paths]
    while todo:
        path, links = todo.pop()
        if not path:
            return None
        if path in seen:
            continue
        seen.add(path)
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            here = "/".join(parts[:depth])
            targets = _targets(root, here) if links < _MAX_LINKS else []
            if targets:
                found.add(here)
                for target in targets:
                    rest = "/".join((target, *parts[depth:]))
                    todo.append((clean(rest)[1:], links + 1))
                break
        else:
            found.add(path)
    return _without_nested(sorted(found))


def _targets(root: str, path: str) -> list[str]:
    """The target of the link at a path; with a wildcard as its last part, those of all matches."""
    parent, _, name = path.rpartition("/")
    names = [name]
    if _has_wildcard(name):
        matches = compile_glob(name)
        try:
            names = sorted(filter(matches, os.listdir(os.path.join(root, parent))))
        except OSError:
            return []
    found = []
    for candidate in names:
        try:
            target = os.readlink(os.path.join(root, parent, candidate))
        except OSError:
            continue
        found.append(clean(target if target.startswith("/") else f"/{parent}/{target}"))
    return found


def _has_wildcard(name: str) -> bool:
    at = 0
    while at < len(name):
        if name[at] == "\\":
            at += 1
        elif name[at] in "*?[":
            return True
        at += 1
    return False


def _without_nested(paths: list[str]) -> list[str]:
    """Sorted paths without those below another."""
    kept: list[str] = []
    for path in paths:
        if not kept or not path.startswith(kept[-1] + "/"):
            kept.append(path)
    return kept


def _fixed_roots(matcher: PatternMatcher | None, *, negated: bool) -> list[str] | None:
    """The directories of possible matches, if the patterns (the exceptions, if `negated`) name
    them.

    None if one of them has wildcards before its end, so that it may match anywhere.
    """
    if matcher is None:
        return []
    roots = []
    for pattern in matcher.patterns:
        if pattern.negated is not negated:
            continue
        text = pattern.text.removesuffix("/**").removesuffix("/*")
        if any(char in text for char in "*[]?^\\"):
            return None
        roots.append(text + "/")
    return roots


def _may_hold(path: str, roots: list[str] | None) -> bool:
    """Whether a directory may contain a path at or below the roots."""
    return roots is None or any(root.startswith(path + "/") for root in roots)
