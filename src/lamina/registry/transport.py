"""HTTP/1.1 requests over persistent connections, with retries.

It uses `http.client`: a pull is a few requests with large bodies, so a larger library would not be
worth its 50 ms of import. A `Transport` is thread-safe.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt, Internal, LaminaError, Unavailable
from lamina.base.named_tuple import NamedTuple
from lamina.registry.connection import Connection, connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.client import HTTPResponse

    from lamina.registry.request import Request
    from lamina.registry.url import Url
    from lamina.system.cancel import Cancellation

_RETRIED = frozenset((408, 429, 500, 502, 503, 504))
_REACH = frozenset((errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH))
_IDLE_SECONDS = 60.0
_IDLE_PER_HOST = 8


class RetryPolicy(NamedTuple):
    """How to retry: the time-outs (seconds) for connecting and for reading, the number of attempts,
    the first pause (which doubles, up to `longest`), and the longest Retry-After that is obeyed."""

    connect: float = 15.0
    read: float = 60.0
    attempts: int = 5
    pause: float = 0.25
    longest: float = 8.0
    retry_after: float = 60.0


class Response:
    """A status, headers, and a body that must be read to its end or closed."""

    def __init__(
        self, url: Url, raw: HTTPResponse, release: Callable[[bool], None], cancel: Cancellation
    ) -> None:
        self.url = url
        self.status = raw.status
        self._raw = raw
        self._cancel = cancel
        self._release: Callable[[bool], None] | None = release

    def header(self, name: str) -> str:
        return self._raw.headers.get(name) or ""

    def headers(self, name: str) -> list[str]:
        return self._raw.headers.get_all(name) or []

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes; empty only at the end that the sender announced.

        Raises Unavailable if the connection breaks earlier, Cancelled.
        """
        if self._release is None:
            return b""
        try:
            data = self._raw.read(size)
        except Exception as error:
            self._end(False)
            self._cancel.check()
            raise translate(error, self.url) from error
        if not data:
            missing = self._raw.length
            self._end(not missing)
            self._cancel.check()
            if missing:
                raise Unavailable(
                    f"{self.url.authority} closed the connection {missing} bytes early"
                )
        return data

    def read_all(self, limit: int) -> bytes:
        """Read the whole body. Raises Corrupt if it has more than `limit` bytes."""
        parts = []
        total = 0
        while data := self.read(1 << 16):
            total += len(data)
            if total > limit:
                self.close()
                raise Corrupt(f"{self.url.authority} sent more than {limit} bytes for {self.url}")
            parts.append(data)
        return b"".join(parts)

    def close(self) -> None:
        """Close the connection, or keep it for reuse if the body was read or is empty."""
        self._end(self._raw.isclosed() or self._raw.length == 0)

    def _end(self, reusable: bool) -> None:
        release, self._release = self._release, None
        if release is not None:
            self._raw.close()
            release(reusable and not self._raw.will_close)

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Transport:
    """Keeps idle connections by origin and TLS settings; a context manager."""

    def __init__(self, retry_policy: RetryPolicy = RetryPolicy()) -> None:  # noqa: B008 -- immutable
        self.retry_policy = retry_policy
        self._lock = threading.Lock()
        self._idle: dict[tuple[object, ...], list[tuple[Connection, float]]] = {}
        self._closed = False

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection, _ in connections:
                connection.close()

    def send(self, request: Request, cancel: Cancellation) -> Response:
        """Send a request. Retries with growing pauses after 429, 5xx and connection errors.

        Returns the last response, whatever its status. Raises Unavailable, Cancelled.
        """
        attempt = 0
        while True:
            attempt += 1
            last = request.once or attempt >= self.retry_policy.attempts
            pause = min(self.retry_policy.longest, self.retry_policy.pause * 2.0 ** (attempt - 1))
            # random, so that clients do not retry simultaneously
            pause *= 0.75 + os.urandom(1)[0] / 512
            try:
                response = self._once(request, cancel)
            except Unavailable as error:
                cause = error.__cause__
                if last or not worth_retrying(cause, attempt):
                    raise
            else:
                if response.status not in _RETRIED or last:
                    return response
                asked = retry_seconds(response)
                if asked is not None and asked > self.retry_policy.retry_after:
                    return response
                pause = pause if asked is None else asked
                response.close()
            if cancel.wait(pause):
                cancel.check()

    def _once(self, request: Request, cancel: Cancellation) -> Response:
        while True:
            cancel.check()
            key = (*request.url.origin, request.tls)
            connection = self._take(key)
            reused = connection is not None
            stack = ExitStack()
            try:
                if connection is None:
                    connection = connect(
                        request.url,
                        request.tls,
                        self.retry_policy.connect,
                        self.retry_policy.read,
                        cancel,
                    )
                stack.enter_context(cancel.calling(connection.abort))
                raw = connection.exchange(request)
            except BaseException as error:
                stack.close()
                if connection is not None:
                    connection.close()
                if not isinstance(error, Exception):
                    raise
                cancel.check()
                if reused and not request.once and isinstance(error, (OSError, _http_error())):
                    continue  # the server had closed the idle connection
                raise translate(error, request.url) from error
            break
        held = connection

        def release(reusable: bool) -> None:
            stack.close()
            if reusable and not cancel.cancelled:
                self._keep(key, held)
            else:
                held.close()

        return Response(request.url, raw, release, cancel)

    def _take(self, key: tuple[object, ...]) -> Connection | None:
        stale = []
        found = None
        with self._lock:
            idle = self._idle.get(key, [])
            while idle and found is None:
                connection, since = idle.pop()
                if time.monotonic() - since < _IDLE_SECONDS and connection.quiet():
                    found = connection
                else:
                    stale.append(connection)
        for connection in stale:
            connection.close()
        return found

    def _keep(self, key: tuple[object, ...], connection: Connection) -> None:
        with self._lock:
            idle = self._idle.setdefault(key, [])
            if not self._closed and len(idle) < _IDLE_PER_HOST:
                idle.append((connection, time.monotonic()))
                return
        connection.close()


def worth_retrying(cause: BaseException | None, attempt: int) -> bool:
    """Whether to retry. For an unknown host only once, so that errors without a network are
    fast."""
    import socket
    import ssl

    if isinstance(cause, ssl.SSLError):
        return False
    if isinstance(cause, socket.gaierror) or (isinstance(cause, OSError) and cause.errno in _REACH):
        return attempt < 2
    return True


def translate(error: Exception, url: Url) -> LaminaError:
    """Convert an error of a request to `url` to a LaminaError, with `error` as its cause."""
    import socket
    import ssl

    host = url.authority
    if isinstance(error, LaminaError):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unavailable(
            f"the TLS certificate of {host} is not trusted: {error.verify_message}",
            hint=f'configure its CA certificate: [registry."{host}"] ca = ["/path.pem"]',
        )
    if isinstance(error, ssl.SSLError):
        return Unavailable(
            f"the TLS handshake with {host} failed: {error.reason or error}",
            hint=f'if it speaks plain HTTP, configure [registry."{host}"] http = true',
        )
    if isinstance(error, socket.gaierror):
        unknown = error.errno in (socket.EAI_NONAME, socket.EAI_NODATA)
        why = "no such host" if unknown else error.strerror
        return Unavailable(
            f"cannot connect to {host}: dial tcp: lookup {url.host}: {why}",
            hint="check the name, the network and DNS",
        )
    if isinstance(error, TimeoutError):
        return Unavailable(f"{host} does not answer", hint="check the network and the host")
    if isinstance(error, OSError):
        return Unavailable(
            f"cannot connect to {host}: {error.strerror or error}",
            hint="is the registry running? check its name and port, the network and the proxy",
        )
    if isinstance(error, _http_error()):
        text = str(error) or type(error).__name__
        return Unavailable(f"{host} closed the connection or is not an HTTP server: {text}")
    return Internal(f"request to {host}: {error!r}")


def _http_error() -> type[Exception]:
    from http.client import HTTPException

    return HTTPException


def retry_seconds(response: Response) -> float | None:
    """The seconds in Retry-After, in either of its forms (RFC 9110, 10.2.3); None without it."""
    text = response.header("Retry-After")
    if not text:
        return None
    if text.isdigit():
        return float(text)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
