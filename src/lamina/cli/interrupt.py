"""Converts signals to a cancellation."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamina.base.errors import Cancelled

_HURRY = 2
_FORCED_EXIT = 3


class Interruption:
    """SIGINT, SIGTERM and SIGHUP cancel `cancel`. `signal` is the number of the first one.

    Args:
        hurry: called at the second signal.
    """

    def __init__(self, hurry: Callable[[], None] | None) -> None:
        self._hurry = hurry
        self.cancel = Cancellation()
        self.signal = 0
        self._count = 0

    def exit_status(self, error: Cancelled) -> int:
        """Report that a command was interrupted, and return its exit status.

        Raises the error if no signal was its cause.
        """
        if not self.signal:
            raise error
        print("ERROR: interrupted", file=sys.stderr)
        return 128 + self.signal

    def _note(self, number: int) -> None:
        self.signal = self.signal or number
        self._count += 1
        if self._count >= _FORCED_EXIT:
            os._exit(128 + number)
        if self._count == _HURRY and self._hurry is not None:
            threading.Thread(target=self._hurry, name="hurry", daemon=True).start()
        # A listener may block or fail; the next signal must still be handled.
        threading.Thread(
            target=self.cancel.cancel, args=("interrupted",), name="cancel", daemon=True
        ).start()


@contextmanager
def interruptible(hurry: Callable[[], None] | None = None) -> Iterator[Interruption]:
    """Convert signals to a cancellation during the block. Main thread only.

    Cancelling takes locks that the main thread may hold when a signal arrives. So it is done not by
    a handler but by a thread, which the interpreter wakes through a pipe. The second signal calls
    `hurry`, the third one ends the process at once.
    """
    import signal

    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    interruption = Interruption(hurry)
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(reader, True)

    def watch() -> None:
        while data := os.read(reader, 64):
            for number in data:
                if not number:
                    return
                if number in wanted:  # the pipe receives every signal that has a handler
                    interruption._note(number)

    thread = threading.Thread(target=watch, name="signals", daemon=True)
    thread.start()
    before = [(number, signal.getsignal(number)) for number in wanted]
    previous_fd = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        for number, handler in before:
            if number != signal.SIGHUP or handler is not signal.SIG_IGN:  # nohup is respected
                signal.signal(number, lambda *_: None)
        yield interruption
    finally:
        for number, handler in before:
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(previous_fd)
        os.write(writer, b"\0")
        thread.join()
        os.close(writer)
        os.close(reader)
