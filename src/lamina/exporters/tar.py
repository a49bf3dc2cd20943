"""`type=tar`: a result's files as one tar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import from_os_error
from lamina.layers.diff import tree_members
from lamina.layers.pack import write_tar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.exporters.file_sink import ByteSink
    from lamina.layers.pack import Member
    from lamina.system.cancel import Cancellation


def export_tar(
    root: str | None, sink: ByteSink, cancel: Cancellation, *, epoch: int | None = None
) -> int:
    """Write what is below `root` (None: nothing) in the order of names; returns the size.

    With `epoch` every file's time is that, in seconds. Raises Exhausted, PermissionDenied,
    Cancelled, and what the sink raises.
    """
    members = iter(()) if root is None else tree_members(root)
    if epoch is not None:
        members = _dated(members, epoch * 1_000_000_000)
    try:
        return write_tar(members, sink, cancel)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise from_os_error(error, "pack") from error


def _dated(members: Iterator[Member], mtime_ns: int) -> Iterator[Member]:
    for entry, content in members:
        yield entry._replace(mtime_ns=mtime_ns), content
