"""Listeners: create sockets for addresses, and serve connections."""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import struct
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from lamina.base.errors import AlreadyExists, from_os_error
from lamina.system.memory import trim
from lamina.system.threads import WorkerPool
from lamina.wire.accepted import Accepted
from lamina.wire.address import split_address, split_host, tune
from lamina.wire.contract import Peer
from lamina.wire.server import GrpcServer
from lamina.wire.sockets import UnixPath, passed_socket
from lamina.wire.transport import SocketTransport

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from lamina.wire.contract import Handler, Transport

MAX_CONNECTIONS = 512
_BACKLOG = 128
_CLOSERS = 32
_PERIOD = 5.0  # seconds between checks of the connections
_END = 10.0  # the maximum seconds for `close`, whatever handlers do


class Listener:
    """Serves `handlers` to all peers that connect to `address`.

    `unix://path` (of mode 0660 and `group` if there is one, else of 0600), `tcp://host:port` (port
    0: any; see `address`), `fd://` (a socket passed by systemd). Raises LaminaError if it cannot
    listen.
    """

    def __init__(
        self,
        address: str,
        handlers: Mapping[str, Handler],
        *,
        tls: ssl.SSLContext | None = None,
        group: int | None = None,
    ) -> None:
        self.address = address
        self._handlers = handlers
        self._tls = tls
        self._lock = threading.Lock()
        self._connected: dict[socket.socket, Accepted] = {}
        self._stopped = False
        self._path: UnixPath | None = None
        self._socket = self._listen(group)
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC)
        self._pool = WorkerPool(MAX_CONNECTIONS, "wire-connection")
        self._thread = threading.Thread(target=self._run, name="wire-listener", daemon=True)
        self._thread.start()

    def drain(self, seconds: float) -> bool:
        """Accept no more connections and calls, let the running ones finish, and close.

        Returns whether all finished in time.
        """
        self._stop()
        ended: list[bool] = []
        servers = self._open_servers()
        with WorkerPool(MAX_CONNECTIONS, "wire-draining") as pool:
            for server in servers:
                pool.submit(partial(_drain, server, seconds, ended))
        self.close()
        return all(ended)

    def close(self) -> None:
        """End every connection, within bounded time. Idempotent."""
        self._stop()
        with WorkerPool(_CLOSERS, "wire-closing") as pool:
            for server in self._open_servers():
                pool.submit(server.close)
        self._pool.close(_END)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open_servers(self) -> list[GrpcServer]:
        """The servers of established connections. Connections in their handshake are closed."""
        with self._lock:
            for accepted in self._connected.values():
                if accepted.server is None:
                    accepted.end("the server is closing")
            servers = [accepted.server for accepted in self._connected.values()]
        return [server for server in servers if server is not None]

    def _listen(self, group: int | None) -> socket.socket:
        scheme, rest = split_address(self.address)
        try:
            if scheme == "fd":
                return passed_socket(rest)
            if scheme == "unix":
                self._path = UnixPath(rest, group)
                return self._path.socket
            host, port = split_host(rest)
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AlreadyExists(f"listen on {self.address}: it is in use") from error
            raise from_os_error(error, f"listen on {self.address}") from error
        host, port = listening.getsockname()[:2]
        self.address = f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
        return listening

    def _stop(self) -> None:
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
        os.write(self._wake_write, b"\0")
        self._thread.join()
        if self._path is not None:
            self._path.remove()
        self._socket.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self) -> None:
        self._socket.setblocking(False)
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        while all(fd != self._wake_read for fd, _ in poll.poll(self._check_all())):
            try:
                connected, address = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                continue
            except OSError:  # out of file descriptors: retry later
                if select.select([self._wake_read], [], [], 0.1)[0]:
                    return
                continue
            if self._admit(connected):
                self._pool.submit(partial(self._serve, connected, address))
            else:
                connected.close()

    def _admit(self, connected: socket.socket) -> bool:
        """Register a connection. If there are too many, the one without a call for the longest time
        is closed; its thread is soon free for the new one."""
        with self._lock:
            staying = [accepted for accepted in self._connected.values() if not accepted.ended]
            if len(staying) >= MAX_CONNECTIONS:
                idlest = min(staying, key=lambda one: one.idle_since)
                if math.isinf(idlest.idle_since):
                    return False
                idlest.end("the server has too many connections, and this one is not used")
            self._connected[connected] = Accepted(connected)
            return True

    def _check_all(self) -> float | None:
        """Check the connections. Returns the milliseconds until the next check."""
        with self._lock:
            all_accepted = list(self._connected.values())
        now = time.monotonic()
        for accepted in all_accepted:
            accepted.check(now)
        return _PERIOD * 1000 if all_accepted else None

    def _serve(self, connected: socket.socket, address: object) -> None:
        """Serve one connection in a thread of the pool, from its handshake to its end."""
        try:
            transport, peer = self._prepare(connected, address)
            with GrpcServer(transport, self._handlers, peer) as server:
                with self._lock:
                    self._connected[connected].server = server
                    stopped = self._stopped
                if not stopped:
                    server.wait()
        except OSError:
            connected.close()  # the peer does not speak TLS, or is not trusted
        finally:
            with self._lock:
                del self._connected[connected]
                last = not self._connected
            trim(soon=last)

    def _prepare(self, connected: socket.socket, address: object) -> tuple[Transport, Peer]:
        connected.setblocking(True)
        if connected.family == socket.AF_UNIX:
            pid, uid, _ = struct.unpack(
                "3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            )
            name = f"unix:pid={pid},uid={uid}"
        else:
            tune(connected)
            name = "{}:{}".format(*address[:2]) if isinstance(address, tuple) else str(address)
        if self._tls is None:
            return SocketTransport(connected), Peer(name)
        from lamina.wire.tls import TlsTransport

        transport = TlsTransport(connected, self._tls)
        return transport, Peer(name, transport.subject)


def _drain(server: GrpcServer, seconds: float, ended: list[bool]) -> None:
    ended.append(server.drain(seconds))
