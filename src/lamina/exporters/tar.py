"""`type=tar`: a result's files as one tar."""

from __future__ import annotations

import stat
import time
from itertools import chain
from typing import TYPE_CHECKING

from lamina.base.errors import from_os_error
from lamina.layers.diff import tree_members
from lamina.layers.entry import Entry
from lamina.layers.pack import write_tar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lamina.exporters.contract import ExportedTree
    from lamina.exporters.file_sink import ByteSink
    from lamina.layers.pack import Member
    from lamina.system.cancel import Cancellation


def export_tar(trees: Sequence[ExportedTree], sink: ByteSink, cancel: Cancellation) -> int:
    """Write the trees one after the other, each in the order of names. Returns the size.

    Raises Exhausted, PermissionDenied, Cancelled, and the errors of the sink.
    """
    members = chain.from_iterable(map(_dated_members, trees))
    try:
        return write_tar(members, sink, cancel)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise from_os_error(error, "pack") from error


def _dated_members(tree: ExportedTree) -> Iterator[Member]:
    members = _members(tree)
    return members if tree.epoch is None else _dated(members, tree.epoch * 1_000_000_000)


def _members(tree: ExportedTree) -> Iterator[Member]:
    if tree.name:
        yield Entry(tree.name, stat.S_IFDIR | 0o755), None
    for entry, content in tree_members(tree.root, tree.metadata) if tree.root is not None else ():
        if tree.name:
            entry = entry._replace(path=f"{tree.name}/{entry.path}")
            if entry.hard_link:
                entry = entry._replace(hard_link=f"{tree.name}/{entry.hard_link}")
        yield entry, content
    now = time.time_ns()
    for added in tree.added:
        path = f"{tree.name}/{added.name}" if tree.name else added.name
        size = len(added.data)
        yield (
            Entry(path, stat.S_IFREG | 0o600, size=size, mtime_ns=now),
            added.data,
        )


def _dated(members: Iterable[Member], mtime_ns: int) -> Iterator[Member]:
    for entry, content in members:
        yield entry._replace(mtime_ns=mtime_ns), content
