"""A secret of the client. It is read when a step first needs it, and kept for the build."""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, from_os_error
from lamina.client.pipe_reading import read_whole
from lamina.system.cancel import locked

if TYPE_CHECKING:
    from lamina.client.contract import SecretSpec
    from lamina.system.cancel import Cancellation

_MAX_SECRET = 500 << 10


class ProvidedSecret:
    """A secret. Thread-safe. Its value is kept, because a pipe can be read only once."""

    def __init__(self, spec: SecretSpec) -> None:
        self._spec = spec
        self._lock = threading.Lock()
        self._read = False
        self._value: bytes | None = None

    def value(self, cancel: Cancellation) -> bytes | None:
        """The secret; None if there is none: an unset variable, an empty pipe.

        Waits until a pipe is written and closed. Raises InvalidInput (too large), NotFound or
        PermissionDenied (the file), Cancelled.
        """
        with locked(self._lock, cancel):
            if not self._read:
                self._value = self._find(cancel)
                self._read = True
            return self._value

    def _find(self, cancel: Cancellation) -> bytes | None:
        if self._spec.data is not None:
            return self._checked(self._spec.data)
        return self._from_environment() if self._spec.env else self._load(cancel)

    def _from_environment(self) -> bytes | None:
        value = os.environ.get(self._spec.env)
        return None if value is None else os.fsencode(value)

    def _load(self, cancel: Cancellation) -> bytes | None:
        spec = self._spec
        try:
            fd = os.open(spec.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            try:
                data = read_whole(fd, _MAX_SECRET, cancel)
                piped = not stat.S_ISREG(os.fstat(fd).st_mode)
            finally:
                os.close(fd)
        except OSError as error:
            raise from_os_error(error, f'read the secret "{spec.id}"') from error
        return None if piped and not data else self._checked(data)

    def _checked(self, data: bytes) -> bytes:
        if len(data) > _MAX_SECRET:
            raise InvalidInput(f'the secret "{self._spec.id}" is larger than 500 KiB')
        return data
