"""The disk usage of directories."""

from __future__ import annotations

from contextlib import suppress

from lamina.system.descent import walk_tree


def tree_size(path: str) -> int:
    """The disk usage in bytes of a directory's files, except unreadable ones."""
    total = 0
    with suppress(OSError):
        for visit in walk_tree(path):
            total += visit.status.st_blocks * 512
    return total
