"""Listening: addresses to sockets, connections to servers, all ended by one owner."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from lamina.base.errors import AlreadyExists, from_os_error
from lamina.system.threads import WorkerPool
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
_END = 10.0  # seconds in which `close` is over, whatever handlers do


class Listener:
    """Serves `handlers` to whoever connects to `address`.

    `unix://path` (of mode 0660 and `group` if there is one, else of 0600), `tcp://host:port`
    (port 0: any; see `address`), `fd://` (a socket passed by systemd). Raises LaminaError if
    it cannot listen.
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
        self._connected: dict[socket.socket, GrpcServer | None] = {}  # None: shaking hands
        self._stopped = False
        self._path: UnixPath | None = None
        self._socket = self._listen(group)
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC)
        self._pool = WorkerPool(MAX_CONNECTIONS, "wire-connection")
        self._thread = threading.Thread(target=self._run, name="wire-listener", daemon=True)
        self._thread.start()

    def drain(self, seconds: float) -> bool:
        """Take no more connections and calls, and let those that run finish; then close.

        Returns whether all did so in time.
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
        """End every connection, within bounded time. May be called twice."""
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
        """What is served; connections that still shake hands are cut."""
        with self._lock:
            for connected, server in self._connected.items():
                if server is None:
                    with suppress(OSError):
                        connected.shutdown(socket.SHUT_RDWR)
            return [server for server in self._connected.values() if server is not None]

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
        while all(fd != self._wake_read for fd, _ in poll.poll()):
            try:
                connected, address = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                continue
            except OSError:  # out of file descriptors: later there may be some
                if select.select([self._wake_read], [], [], 0.1)[0]:
                    return
                continue
            with self._lock:
                busy = len(self._connected) >= MAX_CONNECTIONS
                if not busy:
                    self._connected[connected] = None
            if busy:
                connected.close()
            else:
                self._pool.submit(partial(self._serve, connected, address))

    def _serve(self, connected: socket.socket, address: object) -> None:
        """In a thread of the pool: one connection, from its handshake to its end."""
        try:
            transport, peer = self._prepare(connected, address)
            with GrpcServer(transport, self._handlers, peer) as server:
                with self._lock:
                    self._connected[connected] = server
                    stopped = self._stopped
                if not stopped:
                    server.wait()
        except OSError:
            connected.close()  # it does not speak TLS, or is not trusted: its trouble
        finally:
            with self._lock:
                del self._connected[connected]

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
