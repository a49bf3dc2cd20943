"""A secret of the client's, read when a step first wants it, and kept while the build lasts."""

from __future__ import annotations

import os
import select
import stat
import threading
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, from_os_error

if TYPE_CHECKING:
    from lamina.client.contract import SecretSpec
    from lamina.system.cancel import Cancellation

_MAX_SECRET = 500 << 10
_CHUNK = 1 << 16
_POLL = 100
"""How often cancelling is looked for while a pipe says nothing, in ms."""


class ProvidedSecret:
    """Threads share it. A pipe gives its bytes only once, so they are remembered."""

    def __init__(self, spec: SecretSpec) -> None:
        self._spec = spec
        self._lock = threading.Lock()
        self._read = False
        self._value: bytes | None = None

    def value(self, cancel: Cancellation) -> bytes | None:
        """The secret, None if there is none: an unset variable, a pipe that held nothing.

        Waits for a pipe to be written and closed. Raises InvalidInput (too large), NotFound or
        PermissionDenied (the file), Cancelled.
        """
        while not self._lock.acquire(timeout=_POLL / 1000):
            cancel.check()
        try:
            if not self._read:
                self._value = self._from_environment() if self._spec.env else self._load(cancel)
                self._read = True
            return self._value
        finally:
            self._lock.release()

    def _from_environment(self) -> bytes | None:
        value = os.environ.get(self._spec.env)
        return None if value is None else os.fsencode(value)

    def _load(self, cancel: Cancellation) -> bytes | None:
        spec = self._spec
        try:
            fd = os.open(spec.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            try:
                data = _read(fd, cancel)
                piped = not stat.S_ISREG(os.fstat(fd).st_mode)
            finally:
                os.close(fd)
        except OSError as error:
            raise from_os_error(error, f'read the secret "{spec.id}"') from error
        if len(data) > _MAX_SECRET:
            raise InvalidInput(f'the secret "{spec.id}" is larger than 500 KiB')
        return None if piped and not data else data


def _read(fd: int, cancel: Cancellation) -> bytes:
    """All of a file, or of a pipe until its writers close it; stops a little past the limit."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if _is_named_pipe(fd):
        while not poll.poll(_POLL):  # no writer has come yet, and reading would be at an end
            cancel.check()
    pieces: list[bytes] = []
    size = 0
    while size <= _MAX_SECRET:
        try:
            piece = os.read(fd, _CHUNK)
        except BlockingIOError:
            poll.poll(_POLL)
            cancel.check()
            continue
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _is_named_pipe(fd: int) -> bool:
    """Whether it is a FIFO of a file system; a shell's `<(…)` is none."""
    return stat.S_ISFIFO(os.fstat(fd).st_mode) and os.readlink(f"/proc/self/fd/{fd}")[:1] == "/"
