"""The digest of the files that an op reads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lamina.base.digest import digest_of
from lamina.base.errors import NotFound
from lamina.refs.selection import Selector, digest_selection
from lamina.refs.tree import Tree

if TYPE_CHECKING:
    from pathlib import Path


def test_large_files_are_hashed_like_others(tmp_path: Path) -> None:
    """Several concurrently: neither the digest nor errors depend on it."""
    for name, size in (("a", 5 << 20), ("b", 9 << 20), ("c", 3)):
        (tmp_path / name).write_bytes(os.urandom(size))
    (tmp_path / "l").symlink_to("b")
    selectors = [Selector(f"/{name}") for name in "abc"] + [Selector("/l", follow_links=True)]
    tree = Tree(str(tmp_path))
    each = [tree.digest(*tree.find(s.path, follow=s.follow_links)) for s in selectors]
    expected = digest_of(b"\0".join(digest.encode() for digest in each))
    assert digest_selection(Tree(str(tmp_path)), selectors) == expected
    with pytest.raises(NotFound, match="/absent"):
        digest_selection(Tree(str(tmp_path)), [*selectors, Selector("/absent")])
