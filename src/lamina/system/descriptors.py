"""The file descriptors that this process was started with, and writing to them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_POLL_MS = 100
_LINKS = 40  # the kernel's limit of links to follow


def open_standard_descriptors() -> None:
    """Open the null device as those of the descriptors 0, 1 and 2 that are closed.

    So no file of lamina gets one of these numbers. Text for a closed standard output is dropped;
    `can_write(1)` is false, so that writing an archive to it can be refused.
    """
    closed = [descriptor for descriptor in range(3) if not _is_open(descriptor)]
    for descriptor in closed:
        opened = os.open(os.devnull, os.O_WRONLY if descriptor == 2 else os.O_RDONLY)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)
        os.set_inheritable(descriptor, True)
    for descriptor in closed:
        # Through another descriptor, which accepts text in any case.
        stream = open(os.devnull, "w" if descriptor else "r", encoding="utf-8")  # noqa: SIM115
        setattr(sys, ("stdin", "stdout", "stderr")[descriptor], stream)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def can_write(descriptor: int) -> bool:
    """Whether a descriptor is open for writing."""
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    except OSError:
        return False


def descriptor_behind(path: str) -> int | None:
    """The open descriptor of this process that a path names (1 for `/dev/stdout`), or None."""
    folders = (f"/proc/{os.getpid()}/fd", "/proc/self/fd")
    for _ in range(_LINKS):
        folder, name = os.path.split(os.path.abspath(path))
        folder = os.path.realpath(folder)
        if folder in folders:
            return int(name) if name.isdecimal() else None
        path = os.path.join(folder, name)
        try:
            path = os.path.join(folder, os.readlink(path))
        except OSError:
            return None
    return None


def write_all(descriptor: int, data: bytes, check: Callable[[], object] | None = None) -> None:
    """Write all of `data`. If the descriptor does not block, `check` is called while it is not
    writable, and may raise.

    Raises OSError.
    """
    view = memoryview(data)
    while view:
        with contextlib.suppress(BlockingIOError):
            view = view[os.write(descriptor, view) :]
            continue
        import select

        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        poll.poll(_POLL_MS)
        if check is not None:
            check()
