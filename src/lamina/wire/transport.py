"""Transports: a socket, two pipes, or the messages of another call. (TLS is in `tls`.)

`close` may be called from any thread, and wakes threads in `receive` and `send`. The last of them
closes the file descriptors, so that none is closed while it is used.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt
from lamina.base.named_tuple import NamedTuple
from lamina.wire.contract import StatusError
from lamina.wire.protobuf import Field, Kind, Schema, decode, encode

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from lamina.wire.contract import Call

_MSG_DONTWAIT = 0x40  # `socket` has it too, but its import is slow
_PIECE = 256 << 10  # bytes of a tunnel's message


class SocketTransport:
    """A connected stream socket, which it closes."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._use = _Use(connected.close)

    def receive(self, limit: int) -> bytes:
        with self._use:
            return self._socket.recv(limit)

    def send(self, data: bytes) -> None:
        with self._use:
            self._socket.sendall(data)

    def send_some(self, data: bytes) -> int:
        try:
            with self._use:
                return self._socket.send(data, _MSG_DONTWAIT)
        except OSError:
            return 0

    def close(self) -> None:
        import socket

        if self._use.end():
            with suppress(OSError):  # the peer closed first
                self._socket.shutdown(socket.SHUT_RDWR)
            self._use.leave()


class PipeTransport:
    """Two file descriptors, one to read and one to write (or one socket for both), which it
    closes."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._use = _Use(self._free)
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)

    def receive(self, limit: int) -> bytes:
        import select

        with self._use:
            while self._ready(self._read_fd, select.POLLIN):
                try:
                    return os.read(self._read_fd, limit)
                except BlockingIOError:
                    continue
            return b""

    def send(self, data: bytes) -> None:
        import select

        with self._use, memoryview(data) as view:
            sent = 0
            while sent < len(view):
                try:
                    sent += os.write(self._write_fd, view[sent:])
                except BlockingIOError:
                    if not self._ready(self._write_fd, select.POLLOUT):
                        raise BrokenPipeError("the transport is closed") from None

    def send_some(self, data: bytes) -> int:
        try:
            with self._use:
                return os.write(self._write_fd, data)
        except OSError:
            return 0

    def close(self) -> None:
        if self._use.end():
            os.write(self._wake_write, b"\0")
            self._use.leave()

    def _ready(self, fd: int, event: int) -> bool:
        """Wait until a descriptor is ready or broken. Returns False after `close`."""
        import select

        poll = select.poll()
        poll.register(fd, event)
        poll.register(self._wake_read, select.POLLIN)
        return all(ready != self._wake_read for ready, _ in poll.poll())

    def _free(self) -> None:
        for fd in {self._read_fd, self._write_fd, self._wake_read, self._wake_write}:
            os.close(fd)


class _Use:
    """Counts the users of a resource, and frees it when it has ended and the last user leaves."""

    def __init__(self, free: Callable[[], None]) -> None:
        self._free = free
        self._lock = threading.Lock()
        self._users = 1  # those that have not called `end` yet
        self._ended = False

    def __enter__(self) -> None:
        with self._lock:
            if self._ended:
                raise ConnectionAbortedError("the transport is closed")
            self._users += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
        self._free()

    def end(self) -> bool:
        """Admit no more users. Returns whether this is the first call, which must be followed by
        `leave`."""
        with self._lock:
            first, self._ended = not self._ended, True
            return first

    def leave(self) -> None:
        self.__exit__()


class TunnelTransport:
    """A tunnel: the messages of a call, `BytesMessage.data`. Closing it hangs up the call."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._rest = b""

    def receive(self, limit: int) -> bytes:
        try:
            while not self._rest:
                message = self._call.receive()
                if message is None:
                    return b""
                self._rest = _unwrap(message)
        except StatusError as error:
            raise ConnectionAbortedError(f"the tunnel ended: {error}") from error
        piece, self._rest = self._rest[:limit], self._rest[limit:]
        return piece

    def send(self, data: bytes) -> None:
        try:
            for at in range(0, len(data), _PIECE):
                self._call.send(_wrap(data[at : at + _PIECE]))
        except StatusError as error:
            raise ConnectionAbortedError(f"the tunnel ended: {error}") from error

    def send_some(self, data: bytes) -> int:
        return 0  # the call might have to wait for space

    def close(self) -> None:
        self._call.hang_up()


class _BytesMessage(NamedTuple):
    """`moby.buildkit.v1.BytesMessage`."""

    data: bytes = b""


_SCHEMA: Schema = {_BytesMessage: (Field(1, "data", Kind.BYTES),)}


def _wrap(data: bytes) -> bytes:
    return encode(_BytesMessage(data), _SCHEMA)


def _unwrap(message: bytes) -> bytes:
    try:
        decoded: _BytesMessage = decode(message, _BytesMessage, _SCHEMA)
    except Corrupt as error:
        raise ConnectionAbortedError(f"the tunnel received an invalid message: {error}") from error
    return decoded.data
