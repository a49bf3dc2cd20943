"""The size of a container's terminal, which crun (1.8.1) does not adjust to that of the host's."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import termios
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lamina.runtime.contract import TerminalSize
from lamina.system.process import children_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIDFD_GETFD = 438
_MULTIPLEXER = "/ptmx"


def terminal_size() -> TerminalSize:
    """The size of this process's terminal, unknown if there is none."""
    for fd in (0, 1, 2):
        with suppress(OSError):
            return size_of(fd)
    return TerminalSize()


def size_of(fd: int) -> TerminalSize:
    """The size of the terminal of a descriptor. Raises OSError."""
    size = os.get_terminal_size(fd)
    return TerminalSize(size.columns, size.lines)


def set_size(fd: int, size: TerminalSize) -> None:
    """Set the size of the terminal of a descriptor. Raises OSError."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.columns, 0, 0))


@contextmanager
def raw_mode(fd: int) -> Iterator[None]:
    """Pass everything that is typed on unchanged, during the block. Keeps what was typed before."""
    before = termios.tcgetattr(fd)
    tty.setraw(fd, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSANOW, before)


def resize(guard: int, size: TerminalSize) -> bool:
    """Set the size of a container's terminal. Returns whether there is one.

    Args:
        guard: the process whose child is the runtime, which has the master side of the terminal.
    """
    for runtime in children_of(guard):
        with suppress(OSError):
            master = _duplicate_master(runtime)
            try:
                set_size(master, size)
                return True
            finally:
                os.close(master)
    return False


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
