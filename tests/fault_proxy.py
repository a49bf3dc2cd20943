"""An HTTP proxy in front of a server, which breaks requests as a test requests."""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class Broken(Enum):
    """A fault of the connection."""

    RESET = auto()
    STALL = auto()
    TRUNCATED = auto()


class Answer(NamedTuple):
    """A response instead of the server's."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b"<Error><Code>Fault</Code><Message>a test</Message></Error>"


Fault = Broken | Answer | None


class FaultProxy:
    """Forwards requests to `target` (a URL), except those for which `fault` returns one.

    `requests` are the requests so far, as "METHOD path".
    """

    def __init__(self, target: str) -> None:
        self.fault: Callable[[str], Fault] = lambda _: None
        self.requests: list[str] = []
        self._released = threading.Event()
        host = urlsplit(target).netloc
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy._forward(self, host)

            do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}{urlsplit(target).path}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        self._thread.start()

    def faults(self, *first: Fault) -> None:
        """Break the next requests, one after the other."""
        left = list(first)
        self.fault = lambda _: left.pop(0) if left else None

    def always(self, fault: Fault, paths: Sequence[str] = ("",)) -> None:
        """Break all requests whose text contains one of `paths`."""
        self.fault = lambda request: fault if any(path in request for path in paths) else None

    def close(self) -> None:
        self._released.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _forward(self, request: BaseHTTPRequestHandler, host: str) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        text = f"{request.command} {request.path}"
        self.requests.append(text)
        fault = self.fault(text)
        if fault is Broken.STALL:
            self._released.wait()
            request.close_connection = True
            return
        if fault is Broken.RESET:
            linger = struct.pack("ii", 1, 0)
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            request.close_connection = True
            return
        if isinstance(fault, Answer):
            self._send(request, fault.status, fault.headers, fault.body, len(fault.body))
            return
        with contextlib.closing(http.client.HTTPConnection(host, timeout=60)) as server:
            server.request(request.command, request.path, body, dict(request.headers.items()))
            response = server.getresponse()
            data = response.read()
            kept = [(k, v) for k, v in response.getheaders() if k.lower() not in _OWN]
        size = int(response.headers.get("Content-Length") or len(data))
        if fault is Broken.TRUNCATED:
            data = data[: len(data) // 2]
            request.close_connection = True
        self._send(request, response.status, tuple(kept), data, size)

    @staticmethod
    def _send(
        request: BaseHTTPRequestHandler,
        status: int,
        headers: tuple[tuple[str, str], ...],
        body: bytes,
        size: int,
    ) -> None:
        request.send_response_only(status)
        for name, value in (*headers, ("Content-Length", str(size))):
            request.send_header(name, value)
        request.end_headers()
        with contextlib.suppress(OSError):
            request.wfile.write(b"" if request.command == "HEAD" else body)


_OWN = ("content-length", "transfer-encoding", "connection", "keep-alive")


@contextlib.contextmanager
def running_proxy(target: str) -> Iterator[FaultProxy]:
    """A proxy for the block."""
    proxy = FaultProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
