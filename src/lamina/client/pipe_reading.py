"""Reads secrets and keys, possibly from a pipe."""

from __future__ import annotations

import os
import select
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.system.cancel import Cancellation

_CHUNK = 1 << 16
_POLL = 100
"""How often cancellation is checked while a pipe is silent, in ms."""


def read_whole(fd: int, limit: int, cancel: Cancellation) -> bytes:
    """Read a file, or a pipe until its writers close it. Stops soon after `limit` bytes.

    `fd` is non-blocking. Raises OSError, Cancelled.
    """
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if _is_named_pipe(fd):
        while not poll.poll(_POLL):  # without a writer, reading would return end of file
            cancel.check()
    pieces: list[bytes] = []
    size = 0
    while size <= limit:
        try:
            piece = os.read(fd, _CHUNK)
        except BlockingIOError:
            poll.poll(_POLL)
            cancel.check()
            continue
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _is_named_pipe(fd: int) -> bool:
    """Whether it is a FIFO in a file system. That of a shell's `<(…)` is not."""
    return stat.S_ISFIFO(os.fstat(fd).st_mode) and os.readlink(f"/proc/self/fd/{fd}")[:1] == "/"
