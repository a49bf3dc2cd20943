"""Relays an SSH agent's socket with another owner and mode, for steps that are not root."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lamina.system.unix_socket import bind_unix, connect_unix

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 16


@contextmanager
def relayed(agent: str, path: str, uid: int, gid: int, mode: int) -> Iterator[str]:
    """Forward connections from a socket at `path` to the socket `agent`, during the block.

    Raises OSError.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bind_unix(listener, path)
        os.chown(path, uid, gid)
        os.chmod(path, mode)
        listener.listen()
        relay = _Relay(listener, agent)
        try:
            yield path
        finally:
            relay.close()
    finally:
        listener.close()
        with suppress(FileNotFoundError):
            os.unlink(path)


class _Relay:
    def __init__(self, listener: socket.socket, agent: str) -> None:
        self._listener = listener
        self._agent = agent
        self._lock = threading.Lock()
        self._closed = False
        self._ends: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept, name="ssh-relay", daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for end in (self._listener, *self._ends):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            with self._lock:
                if self._closed:
                    near.close()
                    far.close()
                    return
                self._threads = [thread for thread in self._threads if thread.is_alive()]
                self._ends |= {near, far}
                thread = threading.Thread(target=self._serve, args=(near, far), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, near: socket.socket, far: socket.socket) -> None:
        try:
            connect_unix(far, self._agent)
            outwards = threading.Thread(target=_carry, args=(near, far), daemon=True)
            outwards.start()
            _carry(far, near)
            with suppress(OSError):
                near.shutdown(socket.SHUT_RDWR)  # the agent has closed the connection
            outwards.join()
        except OSError:
            pass  # the step sees a closed connection
        finally:
            with self._lock:
                self._ends -= {near, far}
                near.close()
                far.close()


def _carry(source: socket.socket, to: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            to.sendall(data)
    with suppress(OSError):
        to.shutdown(socket.SHUT_WR)
