"""Uploads a blob to a registry: in one request, or in chunks that can be resumed.

    POST  blobs/uploads/          begins an upload; the response has its URL
    PUT   that URL?digest=…       all the bytes at once; or
    PATCH that URL                a chunk (Content-Range), answered with the next URL
    GET   that URL                the size received, after a lost connection
    PUT   that URL?digest=…       the end of it

OCI distribution spec v1.1, "Pushing blobs". Large blobs are sent in chunks, so that a lost
connection loses little. A registry that refuses chunks, or no longer knows the upload, gets the
whole blob again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lamina.base.errors import Unavailable
from lamina.base.named_tuple import NamedTuple
from lamina.registry.exchange import Busy, Call, refusal
from lamina.registry.url import parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lamina.base.oci import Descriptor
    from lamina.base.reference import Reference
    from lamina.registry.client import RegistryClient
    from lamina.registry.transport import Response
    from lamina.system.cancel import Cancellation

ACTIONS = "pull,push"
CHUNK = 32 << 20
"""Blobs up to this size are sent in one request, larger ones in chunks of it."""
_BINARY = ("Content-Type", "application/octet-stream")
# The statuses of registries that do not support chunks.
_NO_CHUNKS = (400, 405, 411, 413, 415, 501)


class BlobContent(Protocol):
    """Reads a blob's bytes from an offset, again for every attempt."""

    def __call__(self, offset: int, /) -> Iterable[bytes]: ...


class _UnknownUpload(Exception):
    """The registry does not know the upload any more."""


class _ChunksRefused(Exception):
    """The registry does not support chunks."""


class _Session(NamedTuple):
    """An upload's current URL, its number of bytes, and the minimum size of its chunks."""

    location: str
    offset: int = 0
    least: int = 0


class BlobUpload:
    """The upload of one blob to one repository.

    `send` raises NotFound, PermissionDenied, Unavailable, Cancelled, and the errors of `content`.
    """

    def __init__(
        self,
        client: RegistryClient,
        reference: Reference,
        descriptor: Descriptor,
        content: BlobContent,
        cancel: Cancellation,
        chunk: int = CHUNK,
    ) -> None:
        self._client = client
        self._reference = reference
        self._descriptor = descriptor
        self._content = content
        self._cancel = cancel
        self._chunk = chunk
        self._failures = 0

    def send(self, mount_from: str = "") -> bool:
        """Upload the blob. Returns whether bytes were sent: the registry may have mounted it
        instead."""
        with self._client.transfer_slot(self._reference, self._cancel):
            return self._send(mount_from)

    def _send(self, mount_from: str) -> bool:
        chunked = self._descriptor.size > self._chunk
        while True:
            session = self._begin(mount_from)
            if session is None:
                return False
            try:
                if chunked:
                    session = self._send_chunks(session)
                    self._finish(session)
                else:
                    self._finish(session, whole=True)
                return True
            except _ChunksRefused:
                chunked = False
            except _UnknownUpload:
                self._failed(
                    Unavailable(f"{self._reference.domain} lost an upload that was in progress")
                )
                if self._is_there():
                    return True  # only the response to the last request was lost
            except Unavailable as error:
                self._failed(error)
                if self._is_there():
                    return True

    def _begin(self, mount_from: str) -> _Session | None:
        path = f"/{self._reference.path}/blobs/uploads/"
        if mount_from:
            path += f"?mount={self._descriptor.digest}&from={mount_from}"
        with self._ask("POST", path, also=mount_from) as response:
            if response.status == 201:
                return None
            if response.status != 202 or not response.header("Location"):
                raise refusal(response, f"an upload to {self._reference.name}")
            least = response.header("OCI-Chunk-Min-Length")
            session = _Session(_next(response, ""), 0, int(least) if least.isdigit() else 0)
            _drain(response)
            return session

    def _send_chunks(self, session: _Session) -> _Session:
        while session.offset < self._descriptor.size:
            try:
                session = self._patch(session)
            except Unavailable as error:
                session = self._resume(session, error)
        return session

    def _patch(self, session: _Session) -> _Session:
        start = session.offset
        end = min(start + max(self._chunk, session.least), self._descriptor.size)
        headers = (_BINARY, ("Content-Range", f"{start}-{end - 1}"))
        with self._ask(
            "PATCH",
            session.location,
            headers,
            lambda: _first(self._content(start), end - start),
            end - start,
        ) as response:
            status = response.status
            if status in (404, 410):
                raise _UnknownUpload
            if status == 416:  # its offset differs from the expected one
                raise Unavailable(
                    f"{self._reference.domain} disagrees about the state of an upload"
                )
            if status in _NO_CHUNKS and not start:
                raise _ChunksRefused
            if status not in (201, 202, 204):
                raise refusal(response, f"blob {self._descriptor.digest}")
            offset = _received(response)
            session = session._replace(
                location=_next(response, session.location), offset=end if offset is None else offset
            )
            _drain(response)
        return self._checked(session, end)

    def _resume(self, session: _Session, error: Unavailable) -> _Session:
        """Request the offset of the upload, until the registry answers or attempts are used up."""
        while True:
            self._failed(error)
            try:
                with self._ask("GET", session.location) as response:
                    if response.status not in (202, 204):
                        raise _UnknownUpload
                    offset = _received(response)
                    location = _next(response, session.location)
                    _drain(response)
            except Unavailable as again:
                error = again
                continue
            if offset is None:
                raise _UnknownUpload
            if offset > session.offset:
                self._failures = 0
            found = session._replace(location=location, offset=offset)
            return self._checked(found, self._descriptor.size)

    def _checked(self, session: _Session, most: int) -> _Session:
        if session.offset > most:
            raise _UnknownUpload  # it has bytes that were never sent
        return session

    def _finish(self, session: _Session, *, whole: bool = False) -> None:
        joint = "&" if "?" in session.location else "?"
        location = f"{session.location}{joint}digest={self._descriptor.digest}"
        size = self._descriptor.size
        with self._ask(
            "PUT", location, (_BINARY,), lambda: self._content(0) if whole else (), whole * size
        ) as response:
            if response.status in (404, 410, 416) and not whole:
                raise _UnknownUpload
            if response.status not in (201, 204):
                raise refusal(response, f"blob {self._descriptor.digest} for {self._target}")
            _drain(response)

    def _is_there(self) -> bool:
        try:
            return has_blob(self._client, self._reference, self._descriptor, self._cancel)
        except Unavailable:
            return False

    def _failed(self, error: Unavailable) -> None:
        """Pause before the next attempt, or raise the error."""
        self._failures += 1
        retry_policy = self._client.retry_policy
        if self._failures >= retry_policy.attempts:
            raise error
        pause = min(retry_policy.longest, retry_policy.pause * 2.0**self._failures)
        if isinstance(error, Busy):
            if error.seconds > retry_policy.retry_after:
                raise error
            pause = max(pause, error.seconds)
        if self._cancel.wait(pause):
            self._cancel.check()

    def _ask(
        self,
        method: str,
        path: str,
        headers: tuple[tuple[str, str], ...] = (),
        body: Callable[[], Iterable[bytes]] | None = None,
        length: int = 0,
        also: str = "",
    ) -> Response:
        call = Call(
            method,
            self._client.push_target(self._reference),
            self._reference,
            path,
            headers,
            ACTIONS,
            body,
            length,
            once=body is not None,
            also=also,
        )
        return self._client.exchange.ask(call, self._cancel)

    @property
    def _target(self) -> str:
        return self._reference.name


def has_blob(
    client: RegistryClient,
    reference: Reference,
    descriptor: Descriptor,
    cancel: Cancellation,
    actions: str = ACTIONS,
) -> bool:
    """Whether a repository has a blob. Raises PermissionDenied, Unavailable, Cancelled."""
    path = f"/{reference.path}/blobs/{descriptor.digest}"
    call = Call("HEAD", client.push_target(reference), reference, path, (), actions)
    with client.exchange.ask(call, cancel) as response:
        if response.status not in (200, 404):
            raise refusal(response, f"blob {descriptor.digest} of {reference.familiar}")
        return response.status == 200


def _first(chunks: Iterable[bytes], count: int) -> Iterator[bytes]:
    for chunk in chunks:
        if len(chunk) >= count:
            yield chunk[:count]
            return
        count -= len(chunk)
        yield chunk


def _received(response: Response) -> int | None:
    """The number of bytes in a Range header; None without one. `0-0` is none."""
    first, dash, last = response.header("Range").removeprefix("bytes=").partition("-")
    if not dash or first != "0" or not last.isdigit():
        return None
    return int(last) + 1 if int(last) else 0


def _next(response: Response, location: str) -> str:
    named = response.header("Location")
    return str(parse_url(named, response.url)) if named else location


def _drain(response: Response) -> None:
    response.read_all(1 << 16)
