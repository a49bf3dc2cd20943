"""A transport over the standard input and output of a command."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import TYPE_CHECKING

from lamina.system.process import spawn
from lamina.wire.transport import SocketTransport

if TYPE_CHECKING:
    from collections.abc import Sequence

_ERRORS = 4096
"""Bytes of the command's error output that are kept."""


class CommandTransport:
    """Starts the command, and ends it when the transport is closed.

    It has its own process group, so an interrupt at the terminal does not break the connection.

    Raises NotFound or PermissionDenied if it cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._errors = os.memfd_create("stderr", os.MFD_CLOEXEC)
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._child = spawn(
                    command,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=self._errors,
                    own_group=True,
                )
        except BaseException:
            ours.close()
            os.close(self._errors)
            raise
        self._name = command[0]
        self._inner = SocketTransport(ours)
        self._lock = threading.Lock()
        self._received = False
        self._reason = ""
        self._closed = False

    def receive(self, limit: int) -> bytes:
        try:
            data = self._inner.receive(limit)
        except OSError as error:
            raise self._failure(error) from error
        if not data and not self._received:
            raise self._failure(ConnectionError(f"{self._name} ended without an answer"))
        self._received = True
        return data

    def send(self, data: bytes) -> None:
        try:
            self._inner.send(data)
        except OSError as error:
            raise self._failure(error) from error

    def send_some(self, data: bytes) -> int:
        return self._inner.send_some(data)

    def close(self) -> None:
        self._inner.close()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._child.send(signal.SIGTERM)
            self._child.wait()
            os.close(self._errors)

    def _failure(self, error: OSError) -> OSError:
        """The error output of a command that ended before its first answer, else `error`."""
        with self._lock:
            if not self._received and not self._closed:
                written = os.pread(self._errors, _ERRORS, 0)
                self._reason = self._reason or written.decode("utf-8", "replace").strip()
        return ConnectionError(self._reason) if self._reason else error
