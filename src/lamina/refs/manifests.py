"""Records the list of files of a content digest, for the explanations of build records."""

from __future__ import annotations

import os
import stat
from itertools import islice
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.refs.selection import selected
from lamina.stores.contents import ContentEntry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.refs.selection import Selector
    from lamina.refs.tree import Tree
    from lamina.stores.contents import ContentTable

_MAX_ENTRIES = 300_000
_KINDS = {
    stat.S_IFREG: "-",
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
    stat.S_IFCHR: "c",
    stat.S_IFBLK: "b",
    stat.S_IFIFO: "p",
    stat.S_IFSOCK: "s",
}


def record_manifest(
    table: ContentTable, content: str, tree: Tree, selectors: Sequence[Selector]
) -> None:
    """Keep the manifest of a selection under the name `content`, unless it is known.

    A manifest only serves explanations. So one that is too large, or cannot be written, is left
    out.
    """
    try:
        if table.has(content):
            return
        entries = list(islice(_entries(tree, selectors), _MAX_ENTRIES + 1))
        if len(entries) <= _MAX_ENTRIES:
            table.save(content, entries)
    except (LaminaError, OSError):
        return


def _entries(tree: Tree, selectors: Sequence[Selector]) -> Iterator[ContentEntry]:
    for name, path, status in selected(tree, selectors):
        uid, gid = tree.owner_of(status)
        kind = stat.S_IFMT(status.st_mode)
        link = (tree.readlink(path) or "") if kind == stat.S_IFLNK else ""
        yield ContentEntry(
            _text(name),
            _KINDS.get(kind, "?"),
            stat.S_IMODE(status.st_mode),
            uid,
            gid,
            status.st_size if kind == stat.S_IFREG else 0,
            str(tree.entry_digest(path, status)).removeprefix("sha256:"),
            _text(link),
        )


def _text(name: str) -> str:
    """A name as text: bytes that are not UTF-8 become escapes such as `\\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
