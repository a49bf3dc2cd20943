"""Signals of a daemon, which one thread accepts one at a time."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_WANTED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Made by `taken`."""

    def next(self, seconds: float | None = None) -> int:
        """Wait for a signal that requests shutdown, for a limited time. Returns its number, 0 for
        none."""
        if seconds is None:
            return signal.sigwait(_WANTED)
        found = signal.sigtimedwait(_WANTED, seconds)
        return found.si_signo if found is not None else 0


@contextmanager
def taken() -> Iterator[Signals]:
    """Accept SIGINT, SIGTERM and SIGHUP synchronously for the block.

    They are blocked in this thread and the threads that it starts, so call it before any thread
    starts. Children are spawned without the mask.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WANTED)
    try:
        yield Signals()
    finally:
        while signal.sigtimedwait(_WANTED, 0) is not None:
            pass  # pending ones request what happens anyway
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
