"""Compares two contents that a step read in two builds, by their manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.stores.contents import ContentEntry

SHOWN = 10
_COUNTED = 10_000


class PathChange(NamedTuple):
    """`change` is `added`, `removed`, `changed`, `mode`, `owner` or `type`.

    For a mode (octal), an owner (`uid:gid`), a type and the target of a link, `before` and `after`
    have the values. A `path` with a slash at its end is a directory; what is below it was added or
    removed with it.
    """

    path: str
    change: str
    before: str = ""
    after: str = ""


class ContentChanges(NamedTuple):
    """The first `SHOWN` changes directory by directory, and how many there are (at most 10,000)."""

    first: tuple[PathChange, ...] = ()
    total: int = 0


class Manifests(Protocol):
    """Manifests of contents by name: a store's `ContentTable`, or those of a daemon."""

    def has(self, content: str) -> bool: ...

    def root(self, content: str) -> str:
        """The root node of a manifest, "" if there is none."""
        ...

    def node(self, digest: str) -> Sequence[ContentEntry]:
        """The entries of a directory; none of "". Raises Corrupt."""
        ...


def compare_contents(table: Manifests, before: str, after: str) -> ContentChanges | None:
    """The changes between two contents; None if one of them has no manifest. Raises Corrupt."""
    if not (table.has(before) and table.has(after)):
        return None
    first: list[PathChange] = []
    count = 0
    for change in _changes(table, table.root(before), table.root(after)):
        if len(first) < SHOWN:
            first.append(change)
        count += 1
        if count == _COUNTED:
            break
    return ContentChanges(tuple(first), count)


def _changes(table: Manifests, before: str, after: str) -> Iterator[PathChange]:
    """Walk the nodes that differ; equal ones are not read."""
    stack = [("", before, after)]
    while stack:
        prefix, old_node, new_node = stack.pop()
        old = {entry.name: entry for entry in table.node(old_node)}
        new = {entry.name: entry for entry in table.node(new_node)}
        below: list[tuple[str, str, str]] = []
        for name in sorted(old.keys() | new.keys()):
            one, other = old.get(name), new.get(name)
            path = prefix + name
            yield from _compare(path, one, other)
            deeper = _nodes_below(one, other)
            if deeper is not None:
                below.append((f"{path}/", *deeper))
        stack += reversed(below)


def _compare(
    path: str, before: ContentEntry | None, after: ContentEntry | None
) -> Iterator[PathChange]:
    if before is None or after is None:
        entry = before or after
        assert entry is not None
        if entry.digest:  # otherwise it is only a parent of selected files
            slash = "/" if entry.kind == "d" else ""
            yield PathChange(path + slash, "added" if before is None else "removed")
        return
    if before.digest == after.digest or not (before.digest and after.digest):
        return
    shown = path or "/"
    if before.kind != after.kind:
        yield PathChange(shown, "type", before.kind, after.kind)
    elif before.link != after.link:
        yield PathChange(shown, "changed", before.link, after.link)
    elif before.size != after.size:
        yield PathChange(shown, "changed")
    elif before.mode != after.mode:
        yield PathChange(shown, "mode", f"{before.mode:04o}", f"{after.mode:04o}")
    elif (before.uid, before.gid) != (after.uid, after.gid):
        owners = (f"{entry.uid}:{entry.gid}" for entry in (before, after))
        yield PathChange(shown, "owner", *owners)
    else:
        yield PathChange(shown, "changed")


def _nodes_below(before: ContentEntry | None, after: ContentEntry | None) -> tuple[str, str] | None:
    """The nodes to compare further; None if that is not needed."""
    if before is None or after is None:
        entry = before or after
        assert entry is not None
        if entry.digest or not entry.below:
            return None  # the whole directory is named
        return ("", entry.below) if before is None else (entry.below, "")
    if before.below == after.below or before.kind != after.kind:
        return None
    return before.below, after.below
