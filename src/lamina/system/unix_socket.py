"""Unix sockets at paths of any length: an address itself has 107 bytes at most (unix(7))."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator


def bind_unix(listener: socket.socket, path: str) -> None:
    """bind(2). Raises OSError."""
    with _short(path) as address:
        listener.bind(address)


def connect_unix(caller: socket.socket, path: str) -> None:
    """connect(2). Raises OSError."""
    with _short(path) as address:
        caller.connect(address)


@contextmanager
def _short(path: str) -> Iterator[str]:
    """A short path of the same file, by a descriptor of its directory."""
    folder, name = os.path.split(path)
    fd = os.open(folder or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{name}"
    finally:
        os.close(fd)
