"""TCP connections that another thread can end at any time: during the look-up of the name, while
connecting, in the TLS handshake, and while data is sent or received.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import urllib.request
    from collections.abc import Iterator
    from http.client import HTTPConnection, HTTPResponse

    from lamina.system.cancel import Cancellation

_Addresses: TypeAlias = "list[tuple[int, int, int, str, tuple[object, ...]]]"


class SocketGuard:
    """Wakes threads that are blocked in the sockets it watches, now or later. Thread-safe.

    It duplicates the descriptor of each socket, so it works after TLS has taken the socket over.
    `close` closes them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._copies: list[int] = []
        self._aborted = False

    def watch(self, sock: socket.socket) -> None:
        """Raises ConnectionAbortedError after `abort`."""
        with self._lock:
            if self._aborted:
                raise ConnectionAbortedError("the connection was aborted")
            self._copies.append(os.dup(sock.fileno()))

    def abort(self) -> None:
        """Shut the connections down. Never blocks or raises."""
        with self._lock:
            self._aborted = True
            for fd in self._copies:
                with suppress(OSError):  # not connected, or closed by the peer
                    alias = socket.socket(fileno=fd)
                    try:
                        alias.shutdown(socket.SHUT_RDWR)
                    finally:
                        alias.detach()

    @contextmanager
    def cancelled_by(self, cancel: Cancellation) -> Iterator[None]:
        """Abort on cancellation during the block, and close at its end.

        Errors in the block that this causes become Cancelled.
        """
        try:
            with cancel.calling(self.abort):
                yield
        except Exception:
            cancel.check()
            raise
        finally:
            self.close()

    def close(self) -> None:
        with self._lock:
            copies, self._copies = self._copies, []
        for fd in copies:
            os.close(fd)


def connect(
    host: str, port: int, timeout: float, guard: SocketGuard, cancel: Cancellation
) -> socket.socket:
    """A socket connected to the first address of `host` that answers, each within `timeout`
    seconds. `guard` watches it.

    Raises OSError, Cancelled.
    """
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in _look_up(host, port, cancel):
        cancel.check()
        sock = socket.socket(family, kind, protocol)
        try:
            guard.watch(sock)
            sock.settimeout(timeout)
            sock.connect(address)
        except OSError as error:
            failure = error
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    cancel.check()
    raise failure


def _look_up(host: str, port: int, cancel: Cancellation) -> _Addresses:
    """`getaddrinfo`, which cannot be interrupted: on cancellation its thread continues alone."""
    found: _Addresses = []
    failure: list[BaseException] = []
    woken = threading.Event()

    def ask() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except BaseException as error:
            failure.append(error)
        woken.set()

    threading.Thread(target=ask, name="name-lookup", daemon=True).start()
    with cancel.calling(woken.set):
        woken.wait()
    cancel.check()
    if failure:
        raise failure[0]
    return found


def open_url(
    request: urllib.request.Request,
    timeout: float,
    guard: SocketGuard,
    cancel: Cancellation,
    *handlers: urllib.request.BaseHandler,
) -> HTTPResponse:
    """`urllib.request.urlopen` with further handlers, over connections that `guard` watches."""
    import http.client
    import urllib.request

    def plain(host: str, **options: Any) -> HTTPConnection:
        raw = http.client.HTTPConnection(host, **options)
        make_abortable(raw, guard, cancel)
        return raw

    def secure(host: str, **options: Any) -> HTTPConnection:
        raw = http.client.HTTPSConnection(host, **options)
        make_abortable(raw, guard, cancel)
        return raw

    class Plain(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> HTTPResponse:
            return self.do_open(plain, req)

    class Secure(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> HTTPResponse:
            return self.do_open(secure, req)

    opener = urllib.request.build_opener(Plain, Secure, *handlers)
    answer: HTTPResponse = opener.open(request, timeout=timeout)
    return answer


def make_abortable(raw: HTTPConnection, guard: SocketGuard, cancel: Cancellation) -> None:
    """Make a connection of `http.client` one that `guard` and `cancel` can end."""

    def create(address: tuple[str, int], timeout: float, source: object) -> socket.socket:
        return connect(*address, timeout, guard, cancel)

    # What `http.client` calls for a socket, for plain connections and below TLS; it has no other
    # way to be given one.
    raw._create_connection = create  # type: ignore[attr-defined]  # typeshed lacks it
