"""Signals of a daemon: taken one at a time by the thread that waits for them."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_WANTED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Use `taken`."""

    def next(self, seconds: float | None = None) -> int:
        """Wait for a signal that asks for an end, at most so long. Its number, 0 for none."""
        if seconds is None:
            return signal.sigwait(_WANTED)
        found = signal.sigtimedwait(_WANTED, seconds)
        return found.si_signo if found is not None else 0


@contextmanager
def taken() -> Iterator[Signals]:
    """Have SIGINT, SIGTERM and SIGHUP for the length of the block.

    They are blocked, so that they wait to be taken, in this thread and all that it starts: call
    it before any thread is started. Children are spawned without the mask.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WANTED)
    try:
        yield Signals()
    finally:
        while signal.sigtimedwait(_WANTED, 0) is not None:
            pass  # they asked for what happens anyway
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
