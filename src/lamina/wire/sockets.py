"""Sockets to listen on: exclusive paths, and sockets that systemd passes."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from contextlib import suppress

from lamina.base.errors import AlreadyExists, InvalidInput

_FIRST_PASSED = 3  # sd_listen_fds(3)


class UnixPath:
    """A listening socket at a path, guarded by a lock file beside it (`PATH.lock`).

    A socket of a dead process is replaced. A socket that is served, or another kind of file, is
    not. Raises AlreadyExists, OSError.
    """

    def __init__(self, path: str, group: int | None) -> None:
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._lock = os.open(f"{path}.lock", flags, 0o600)
        try:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _taken(path) from None
            self.socket = self._bind(group)
            self._inode = os.lstat(path).st_ino
        except BaseException:
            os.close(self._lock)
            raise

    def remove(self) -> None:
        """Close the socket, and remove its path if it still belongs to this one."""
        with suppress(FileNotFoundError):
            if os.lstat(self._path).st_ino == self._inode:
                os.unlink(self._path)
        self.socket.close()
        os.close(self._lock)

    def _bind(self, group: int | None) -> socket.socket:
        self._check_stale()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        # Bound under another name until its mode is set and it listens, then renamed.
        new = f"{self._path}.new"
        try:
            with suppress(FileNotFoundError):
                os.unlink(new)
            listening.bind(new)
            os.chmod(new, 0o600 if group is None else 0o660)
            if group is not None:
                os.chown(new, -1, group)
            listening.listen(socket.SOMAXCONN)
            os.rename(new, self._path)
        except BaseException:
            listening.close()
            with suppress(OSError):
                os.unlink(new)
            raise
        return listening

    def _check_stale(self) -> None:
        try:
            mode = os.lstat(self._path).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise AlreadyExists(f"{self._path} exists, and is not a socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
            probe.settimeout(1)
            try:
                probe.connect(self._path)
            except (ConnectionRefusedError, FileNotFoundError):
                return  # no process listens
            except OSError:
                pass  # a busy process is alive too
        raise _taken(self._path)


def _taken(path: str) -> AlreadyExists:
    return AlreadyExists(
        f"another daemon serves {path}", hint="stop it, or use a different address"
    )


def passed_socket(name: str) -> socket.socket:
    """The socket that systemd passes: the first one, or the one with that name or number.

    Raises InvalidInput if there is none.
    """
    count = 0
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        with suppress(ValueError):
            count = int(os.environ.get("LISTEN_FDS", "0"))
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    for fd in range(_FIRST_PASSED, _FIRST_PASSED + count):
        index = fd - _FIRST_PASSED
        if name in ("", str(fd)) or (index < len(names) and names[index] == name):
            os.set_inheritable(fd, False)
            return socket.socket(fileno=fd)
    which = f"named {name!r}" if name else "to listen on"
    raise InvalidInput(f"no socket {which} was passed to this process (LISTEN_FDS)")
