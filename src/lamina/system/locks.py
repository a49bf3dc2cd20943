"""Waiting for file locks until the build ends."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.system.cancel import Cancellation

_POLL = 0.05  # seconds


@contextmanager
def held(path: str, cancel: Cancellation, operation: int = fcntl.LOCK_EX) -> Iterator[int]:
    """Lock a file during the block, against threads and processes. It is created if missing.

    Yields the descriptor of the lock. Raises Cancelled while waiting.
    """
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(fd, operation | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                cancel.wait(_POLL)
                cancel.check()
        yield fd
    finally:
        os.close(fd)
