"""The size of a container's terminal, which crun (1.8.1) does not adjust to that of the host's."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import termios
from contextlib import suppress

from lamina.system.process import children_of

_PIDFD_GETFD = 438
_MULTIPLEXER = "/ptmx"


def terminal_size() -> tuple[int, int] | None:
    """(columns, lines) of this process's terminal, None if there is none."""
    for fd in (0, 1, 2):
        with suppress(OSError):
            size = os.get_terminal_size(fd)
            return size.columns, size.lines
    return None


def resize(guard: int) -> None:
    """Set the size of a container's terminal to that of this process's terminal, if possible.

    Args:
        guard: the process whose child is the runtime, which has the master side of the terminal.
    """
    size = terminal_size()
    if size is None:
        return
    columns, lines = size
    for runtime in children_of(guard):
        with suppress(OSError):
            master = _duplicate_master(runtime)
            try:
                fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            finally:
                os.close(master)


def _duplicate_master(pid: int) -> int:
    """A duplicate descriptor of the pseudo-terminal that a process has open. Raises OSError."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        if os.readlink(f"/proc/{pid}/fd/{name}").endswith(_MULTIPLEXER):
            break
    else:
        raise FileNotFoundError(pid)
    handle = os.pidfd_open(pid)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        fd: int = libc.syscall(_PIDFD_GETFD, handle, int(name), 0)
    finally:
        os.close(handle)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return fd
