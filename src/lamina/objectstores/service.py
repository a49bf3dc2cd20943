"""Signed HTTP requests to one object store."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

from lamina.base.errors import (
    AlreadyExists,
    Corrupt,
    Exhausted,
    LaminaError,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from lamina.base.named_tuple import NamedTuple
from lamina.registry.request import Request
from lamina.registry.transport import RetryPolicy, Transport, retry_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lamina.registry.transport import Response
    from lamina.registry.url import Url
    from lamina.system.cancel import Cancellation

RETRIES = RetryPolicy(connect=10.0, read=15.0, attempts=4, pause=0.25, longest=5.0, retry_after=20)
"""Less patient than for registries: a cache may not cost more time than it saves."""
_SKEW = 240.0
"""Services accept signatures of about 15 minutes. A larger difference of clocks is corrected."""
_DOCUMENT = 1 << 16
_CHUNK = 1 << 20


class Headers(NamedTuple):
    """A part of a request that is signed: the method, the URL, its headers and the SHA-256 of its
    body in hex ("" if unknown)."""

    method: str
    url: Url
    headers: tuple[tuple[str, str], ...]
    length: int
    sha256: str


class Signer(Protocol):
    """Adds credentials to a request."""

    def __call__(
        self, unsigned: Headers, now: float, cancel: Cancellation, /
    ) -> tuple[tuple[str, str], ...]:
        """All headers of the signed request. `now` is the time at the service.

        Raises PermissionDenied, Unavailable, Cancelled.
        """
        ...


def no_credentials(
    request: Headers, now: float, cancel: Cancellation
) -> tuple[tuple[str, str], ...]:
    """For URLs that contain a signature, emulators and public buckets. Implements `Signer`."""
    return request.headers


class Body(NamedTuple):
    """The body of a request: `read` returns it again for each attempt."""

    read: Callable[[], Iterable[bytes]]
    length: int
    sha256: str = ""


def body_of(data: bytes) -> Body:
    """A body in memory."""
    from hashlib import sha256

    return Body(lambda: (data,), len(data), sha256(data).hexdigest())


NO_BODY = Body(tuple, 0)


class Service:
    """Sends requests to one endpoint, with retries. Thread-safe.

    Args:
        name: what messages call it, for example `s3://bucket`.
        retries: the time-outs and pauses.
    """

    def __init__(self, name: str, sign: Signer, retries: RetryPolicy = RETRIES) -> None:
        self.name = name
        self.retries = retries
        self._sign = sign
        self._transport = Transport(retries)
        self._lock = threading.Lock()
        self._ahead = 0.0  # seconds that the service's clock is ahead

    def close(self) -> None:
        self._transport.close()

    def send(
        self,
        method: str,
        url: Url,
        cancel: Cancellation,
        headers: tuple[tuple[str, str], ...] = (),
        body: Body = NO_BODY,
    ) -> Response:
        """Send a request. Returns any response. Raises Unavailable, Cancelled."""
        response = self._once(method, url, cancel, headers, body)
        if response.status in (400, 401, 403) and self._corrected(response):
            response.close()
            response = self._once(method, url, cancel, headers, body)
        return response

    def expect(
        self,
        statuses: tuple[int, ...],
        method: str,
        url: Url,
        cancel: Cancellation,
        headers: tuple[tuple[str, str], ...] = (),
        body: Body = NO_BODY,
    ) -> Response:
        """Send a request. Raises an error for other statuses than these."""
        response = self.send(method, url, cancel, headers, body)
        if response.status not in statuses:
            with response:
                raise self.refusal(response)
        return response

    def resumed(
        self, url: Url, offset: int, cancel: Cancellation, headers: tuple[tuple[str, str], ...] = ()
    ) -> Iterator[bytes]:
        """The body of a GET from an offset on. Continues with ranges after broken connections."""
        failures = 0
        while True:
            began = offset
            ranged = (("Range", f"bytes={offset}-"),) if offset else ()
            try:
                with self.expect((200, 206), "GET", url, cancel, (*headers, *ranged)) as response:
                    skipped = offset if response.status == 200 else 0
                    while chunk := response.read(_CHUNK):
                        if skipped:  # the store ignores ranges
                            dropped = min(skipped, len(chunk))
                            skipped -= dropped
                            chunk = chunk[dropped:]
                        if chunk:
                            offset += len(chunk)
                            yield chunk
                return
            except Unavailable:
                failures = 1 if offset > began else failures + 1
                if failures >= self.retries.attempts:
                    raise
                if cancel.wait(self.retries.pause * 2.0**failures):
                    cancel.check()

    def refusal(self, response: Response) -> LaminaError:
        """The error for a response, with the service's code or message."""
        status, words = response.status, _words(response)
        said = f": {words}" if words else ""
        if status in (404, 410):
            return NotFound(f"{self.name} answered {status}{said}")
        if status in (401, 403):
            return PermissionDenied(
                f"{self.name} refused access with status {status}{said}",
                hint="check the credentials and what they permit",
            )
        if status in (409, 412):
            return AlreadyExists(f"{self.name} answered {status}{said}")
        if status in (413, 507):
            return Exhausted(f"{self.name} has no space or refuses the size{said}")
        if status in (429, 503):
            seconds = retry_seconds(response)
            wait = f" for {seconds:.0f} s" if seconds is not None else ""
            return Unavailable(f"{self.name} limits the rate of requests{wait}{said}")
        return Unavailable(f"{self.name} failed with status {status}{said}")

    def _once(
        self,
        method: str,
        url: Url,
        cancel: Cancellation,
        headers: tuple[tuple[str, str], ...],
        body: Body,
    ) -> Response:
        with self._lock:
            now = time.time() + self._ahead
        unsigned = Headers(method, url, headers, body.length, body.sha256)
        signed = self._sign(unsigned, now, cancel)
        read = body.read if body is not NO_BODY else None
        return self._transport.send(Request(method, url, signed, read, body.length), cancel)

    def _corrected(self, response: Response) -> bool:
        """Whether the response shows another time than this machine's, which is used from now."""
        from email.utils import parsedate_to_datetime

        try:
            theirs = parsedate_to_datetime(response.header("Date")).timestamp()
        except (TypeError, ValueError):
            return False
        ahead = theirs - time.time()
        with self._lock:
            if abs(ahead - self._ahead) < _SKEW:
                return False
            self._ahead = ahead
        return True


def drained(response: Response) -> Response:
    """Read the small rest of a body, so that the connection can be reused."""
    try:
        response.read_all(_DOCUMENT)
    except Corrupt:
        response.close()
    return response


def _words(response: Response) -> str:
    """The code and message of an error, which services send as XML or JSON."""
    import re

    try:
        data = response.read_all(_DOCUMENT)
    except (Corrupt, Unavailable):
        return ""
    text = data.decode(errors="replace").lstrip("\ufeff").strip()
    if text.startswith("<"):
        found = re.findall(r"<(?:Code|Message)>([^<]{1,300})<", text)
        text = ": ".join(found[:2])
    elif text.startswith("{"):
        text = _json_words(text)
    return "".join(c if c.isprintable() else " " for c in text)[:300]


def _json_words(text: str) -> str:
    import json

    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return text
    error = document.get("error")
    nested = error if isinstance(error, dict) else document
    words = nested.get("message") or nested.get("msg") or nested.get("code") or error
    return str(words or text)
