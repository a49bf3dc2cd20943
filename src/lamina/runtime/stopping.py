"""Stopping a cancelled step: it gets SIGTERM and a grace period, and then is killed.

Only the first process of the container gets SIGTERM, as with `docker stop`: a shell whose current
command is killed would run the next one. If the process has no handler, the kernel drops the
signal, and waiting would be useless.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

from lamina.system.process import children_of

if TYPE_CHECKING:
    from lamina.system.process import Child


class Stopping:
    """Stops one running container. Called on cancellation. Leave its block when the container has
    ended.

    Args:
        guard: the process whose only child is the runtime.
        grace: how long (seconds) a container may run after SIGTERM.
    """

    def __init__(self, guard: Child, grace: float) -> None:
        self._guard = guard
        self._grace = grace
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._begun = False
        self._over = False

    def __enter__(self) -> Stopping:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._over = True
            timer = self._timer
        if timer is not None:
            timer.cancel()
            timer.join()

    def __call__(self) -> None:
        """Stop the container. Does not wait for its end."""
        with self._lock:
            if self._over or self._begun:
                return
            self._begun = True
            if self._grace > 0 and _ask_to_end(self._guard):
                self._timer = threading.Timer(self._grace, kill_tree, (self._guard,))
                self._timer.daemon = True
                self._timer.start()
                return
        kill_tree(self._guard)

    def hurry(self) -> None:
        """Set the grace period to zero, also for a stop that has begun."""
        with self._lock:
            self._grace = 0
            waiting = self._timer is not None and not self._over
        if waiting:
            kill_tree(self._guard)


def kill_tree(guard: Child) -> None:
    """Kill the pid namespace's first process, and with it all others.

    Not the guard, which would die at once: it waits until all processes have ended.
    """
    for pid in children_of(guard.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        return
    guard.kill()  # the runtime has not started it yet


def _ask_to_end(guard: Child) -> bool:
    """Send SIGTERM to the container's first process. Returns whether one handles it."""
    for runtime in children_of(guard.pid):
        for pid in children_of(runtime):
            try:
                handle = os.pidfd_open(pid)
            except OSError:
                continue
            try:
                # Checked when the number can no longer be that of another process.
                if pid in children_of(runtime) and _heeds_sigterm(pid):
                    signal.pidfd_send_signal(handle, signal.SIGTERM)
                    return True
            except OSError:
                continue
            finally:
                os.close(handle)
    return False


def _heeds_sigterm(pid: int) -> bool:
    """Whether a process is the first of its pid namespace, and handles or blocks SIGTERM."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        bit = 1 << signal.SIGTERM - 1
        heeded = int(status["SigCgt"], 16) | int(status["SigBlk"], 16)
        return status["NSpid"].split()[-1] == "1" and bool(heeded & bit)
    except (OSError, KeyError, ValueError):
        return False
