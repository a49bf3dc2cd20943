"""Reads secrets and keys that may come out of a pipe."""

from __future__ import annotations

import os
import select
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.system.cancel import Cancellation

_CHUNK = 1 << 16
_POLL = 100
"""How often cancelling is looked for while a pipe says nothing, in ms."""


def read_whole(fd: int, limit: int, cancel: Cancellation) -> bytes:
    """All of a file, or of a pipe until its writers close it; a little over `limit` of what is
    longer.

    `fd` does not block. Raises OSError, Cancelled.
    """
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if _is_named_pipe(fd):
        while not poll.poll(_POLL):  # no writer has come yet, and reading would be at an end
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
    """Whether it is a FIFO of a file system; a shell's `<(…)` is none."""
    return stat.S_ISFIFO(os.fstat(fd).st_mode) and os.readlink(f"/proc/self/fd/{fd}")[:1] == "/"
