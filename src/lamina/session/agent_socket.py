"""A local socket whose connections are forwarded to an SSH agent of the client."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.api import ssh
from lamina.api.stream import CHUNK, decode_bytes, encode_bytes
from lamina.base.errors import Corrupt
from lamina.system.removal import discard_tree
from lamina.system.unix_socket import bind_unix
from lamina.wire.contract import StatusError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.wire.contract import Call, Channel

_CONNECTIONS = 32


class AgentSocket:
    """Listens on a socket in a new directory below `scratch`. Close it."""

    def __init__(self, channel: Channel, agent_id: str, scratch: str) -> None:
        """Raises OSError."""
        self._channel = channel
        self._agent_id = agent_id
        self._folder = tempfile.mkdtemp(prefix="ssh-", dir=scratch)
        self.path = os.path.join(self._folder, "agent")
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._closed = False
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            bind_unix(self._listener, self.path)
            os.chmod(self.path, 0o600)
            self._listener.listen(_CONNECTIONS)
        except OSError:
            self._listener.close()
            discard_tree(self._folder)
            raise
        self._acceptor = threading.Thread(target=self._accept, name="ssh-accept", daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """Close all connections. Returns when all threads have ended."""
        with self._lock:
            self._closed = True
            connections = list(self._connections.items())
        for one in (self._listener, *(connection for connection, _ in connections)):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in (self._acceptor, *(thread for _, thread in connections)):
            thread.join()
        self._listener.close()
        discard_tree(self._folder)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(
                target=self._serve, args=(connection,), name="ssh-agent", daemon=True
            )
            with self._lock:
                if self._closed or len(self._connections) >= _CONNECTIONS:
                    connection.close()
                    continue
                self._connections[connection] = thread
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        metadata = ((ssh.KEY_ID, self._agent_id),)
        try:
            with self._channel.open(ssh.FORWARD_AGENT, metadata) as call:
                forward(call, connection, call.finish_sending)
        except StatusError:
            pass  # the peer sees the end
        finally:
            with self._lock:
                del self._connections[connection]
            connection.close()


def forward(call: Call, connection: socket.socket, finish: Callable[[], None]) -> None:
    """Forward bytes in both directions between a call and a connection, until both have ended.

    Args:
        finish: ends the sending direction of the call.
    """

    def outwards() -> None:
        try:
            while data := connection.recv(CHUNK):
                call.send(encode_bytes(data))
            finish()
        except (OSError, StatusError):
            call.hang_up()

    sender = threading.Thread(target=outwards, name="ssh-forward", daemon=True)
    sender.start()
    try:
        while (message := call.receive()) is not None:
            connection.sendall(decode_bytes(message))
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
    except (OSError, StatusError, Corrupt):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        call.hang_up()
    finally:
        sender.join()
