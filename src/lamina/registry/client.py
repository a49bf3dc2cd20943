"""Reading from registries (OCI distribution spec v1.1, "Pull")."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, TypeVar

from lamina.base.digest import Digest, digest_of, parse_digest
from lamina.base.errors import (
    Cancelled,
    Corrupt,
    LaminaError,
    NotFound,
    Unavailable,
)
from lamina.base.oci import INDEX_TYPES, MANIFEST_TYPES, Descriptor, parse_manifest
from lamina.registry.auth import Authorizer, denied
from lamina.registry.credentials import CredentialSource, DockerConfig
from lamina.registry.hosts import Endpoint, Hosts, Tls
from lamina.registry.transport import Patience, Request, Response, Transport
from lamina.registry.url import Url, make_url, parse_url
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamina.base.reference import Reference

_T = TypeVar("_T")
_MANIFEST_LIMIT = 16 << 20
_CHUNK = 256 << 10
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_ACCEPT = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES, "*/*"))
# How far a broken transfer must have come for the next try not to count as one more failure.
_PROGRESS = 64 << 10


class RegistryClient:
    """All registries, each through its mirrors first. Threads share it; a context manager.

    Args:
        hosts: mirrors, schemes and TLS by registry name.
        credentials: who we are; `docker login`'s file unless said otherwise.
        patience: time-outs and tries.
    """

    def __init__(
        self,
        hosts: Hosts = Hosts(),  # noqa: B008 -- immutable
        credentials: CredentialSource | None = None,
        patience: Patience = Patience(),  # noqa: B008 -- immutable
    ) -> None:
        self._hosts = hosts
        self._transport = Transport(patience)
        self._auth = Authorizer(self._transport, credentials or DockerConfig())
        self._lock = threading.Lock()
        self._schemes: dict[str, str] = {}
        self._manifests: dict[Digest, bytes] = {}

    def __enter__(self) -> RegistryClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def resolve(self, reference: Reference, cancel: Cancellation | None = None) -> Descriptor:
        """What a name (tag or digest) stands for: an index or a manifest.

        Raises NotFound, PermissionDenied, Unavailable, Corrupt, Cancelled.
        """
        return self._each(reference, cancel or Cancellation(), self._resolve)

    def manifest(
        self, reference: Reference, digest: Digest, cancel: Cancellation | None = None
    ) -> bytes:
        """The exact bytes of an index or manifest, checked. Raises as `resolve` does."""
        with self._lock:
            kept = self._manifests.pop(digest, None)
        if kept is not None:
            return kept

        def get(endpoint: Endpoint, reference: Reference, cancel: Cancellation) -> bytes:
            data, _ = self._get_manifest(endpoint, reference, str(digest), cancel)
            if hashlib.new(digest.algorithm, data).hexdigest() != digest.hex:
                raise Corrupt(
                    f"{endpoint.host} sent other bytes for {reference.familiar} than {digest}"
                )
            return data

        return self._each(reference, cancel or Cancellation(), get)

    def blob(
        self,
        reference: Reference,
        descriptor: Descriptor,
        offset: int = 0,
        cancel: Cancellation | None = None,
    ) -> Iterator[bytes]:
        """The bytes of a blob from `offset` on, in pieces, going on where a connection breaks.

        The size is held to; the digest is the receiver's to check. Raises as `resolve` does.
        """
        cancel = cancel or Cancellation()
        failures = 0
        position = offset
        while position < descriptor.size:
            start = position
            # The transport tries that often enough; here only what breaks half-way is continued.
            response = self._open_blob(reference, descriptor, position, cancel)
            try:
                for chunk in _body(response, descriptor, position):
                    cancel.check()
                    position += len(chunk)
                    yield chunk
            except Unavailable:
                failures = 1 if position - start >= _PROGRESS else failures + 1
                patience = self._transport.patience
                if failures >= patience.attempts:
                    raise
                if cancel.wait(patience.pause * 2.0**failures):
                    cancel.check()
                continue
            if position < descriptor.size:
                raise Corrupt(
                    f"{reference.domain} sent only {position} of {descriptor.size} bytes"
                    f" for {descriptor.digest}"
                )

    def _open_blob(
        self, reference: Reference, descriptor: Descriptor, offset: int, cancel: Cancellation
    ) -> Response:
        def get(endpoint: Endpoint, reference: Reference, cancel: Cancellation) -> Response:
            path = f"/{reference.path}/blobs/{descriptor.digest}"
            headers = (("Range", f"bytes={offset}-"),) if offset else ()
            response = self._request("GET", endpoint, reference, path, headers, cancel)
            if response.status not in (200, 206):
                raise _refusal(response, f"blob {descriptor.digest} of {reference.familiar}")
            return response

        return self._each(reference, cancel, get)

    def _resolve(
        self, endpoint: Endpoint, reference: Reference, cancel: Cancellation
    ) -> Descriptor:
        wanted = str(reference.digest or reference.tag)
        path = f"/{reference.path}/manifests/{wanted}"
        headers = (("Accept", _ACCEPT),)
        with self._request("HEAD", endpoint, reference, path, headers, cancel) as response:
            kind = response.header("Content-Type").partition(";")[0].strip()
            digest = response.header("Docker-Content-Digest")
            size = response.header("Content-Length")
            status = response.status
        if status == 200 and digest and size.isdigit() and kind in (*INDEX_TYPES, *MANIFEST_TYPES):
            found = Descriptor(kind, parse_digest(digest), int(size))
        else:
            # Not every registry answers HEAD, or answers it in full; the bytes tell all.
            data, kind = self._get_manifest(endpoint, reference, wanted, cancel)
            kind = parse_manifest(data, kind).media_type
            found = Descriptor(kind, digest_of(data), len(data))
            if reference.digest is None or found.digest == reference.digest:
                with self._lock:
                    self._manifests[found.digest] = data
        if reference.digest is not None and found.digest != reference.digest:
            raise Corrupt(f"{endpoint.host} gave {found.digest} for {reference.familiar}")
        return found

    def _get_manifest(
        self, endpoint: Endpoint, reference: Reference, wanted: str, cancel: Cancellation
    ) -> tuple[bytes, str]:
        path = f"/{reference.path}/manifests/{wanted}"
        headers = (("Accept", _ACCEPT),)
        with self._request("GET", endpoint, reference, path, headers, cancel) as response:
            if response.status != 200:
                raise _refusal(response, reference.familiar)
            kind = response.header("Content-Type").partition(";")[0].strip()
            return response.read_all(_MANIFEST_LIMIT), kind

    def _each(
        self,
        reference: Reference,
        cancel: Cancellation,
        ask: Callable[[Endpoint, Reference, Cancellation], _T],
    ) -> _T:
        """Ask the endpoints in order; the last one's refusal is the answer."""
        endpoints = self._hosts.endpoints(reference.domain)
        for endpoint in endpoints[:-1]:
            try:
                return ask(endpoint, reference, cancel)
            except Cancelled:
                raise
            except LaminaError:
                continue
        return ask(endpoints[-1], reference, cancel)

    def _request(
        self,
        method: str,
        endpoint: Endpoint,
        reference: Reference,
        path: str,
        headers: tuple[tuple[str, str], ...],
        cancel: Cancellation,
    ) -> Response:
        """Ask one endpoint, in the first of its schemes that works."""
        known = self._schemes.get(endpoint.host)
        schemes = (known,) if known else endpoint.schemes
        target = endpoint.prefix + path
        if endpoint.mirror:
            target += f"?ns={reference.domain}"
        for scheme in schemes[:-1]:
            try:
                url = make_url(scheme, endpoint.host, target)
                response = self._follow(method, url, endpoint, reference, headers, cancel)
            except Unavailable as error:
                if not _speaks_plain(error):
                    raise
            else:
                self._schemes[endpoint.host] = scheme
                return response
        url = make_url(schemes[-1], endpoint.host, target)
        response = self._follow(method, url, endpoint, reference, headers, cancel)
        self._schemes[endpoint.host] = schemes[-1]
        return response

    def _follow(
        self,
        method: str,
        url: Url,
        endpoint: Endpoint,
        reference: Reference,
        headers: tuple[tuple[str, str], ...],
        cancel: Cancellation,
    ) -> Response:
        """Send, log in if asked to, go where it points. Only the endpoint's own origin is ever
        sent its Authorization."""
        origin = url.origin
        scope = f"repository:{reference.path}:pull"
        domain = endpoint.host if endpoint.mirror else reference.domain
        authorization = self._auth.header(url, scope)
        tried = False
        for _ in range(12):
            mine = url.origin == origin
            sent = (("Authorization", authorization),) if authorization and mine else ()
            tls = endpoint.tls if url.host == origin[1] else Tls()
            response = self._transport.send(
                Request(method, url, (*headers, *sent), tls=tls), cancel
            )
            if response.status in _REDIRECTS and response.header("Location"):
                location = response.header("Location")
                response.close()
                url = parse_url(location, url)
            elif response.status == 401 and mine:
                challenges = response.headers("WWW-Authenticate")
                _drain(response)
                if tried:
                    raise denied(domain, f"no access to {reference.path}")
                tried = True
                authorization = self._auth.answer(
                    url, challenges, scope, domain, endpoint.tls, cancel
                )
            else:
                return response
        raise Unavailable(f"{endpoint.host} redirects without end")


def _body(response: Response, descriptor: Descriptor, offset: int) -> Iterator[bytes]:
    """The bytes from `offset` on, never more than there may be."""
    with response:
        left = descriptor.size - offset
        skip = _skip(response, offset)
        while chunk := response.read(_CHUNK):
            if skip:
                dropped = min(skip, len(chunk))
                skip -= dropped
                chunk = chunk[dropped:]
            left -= len(chunk)
            if left < 0:
                raise Corrupt(
                    f"{response.url.authority} sent more than the {descriptor.size} bytes"
                    f" of {descriptor.digest}"
                )
            if chunk:
                yield chunk


def _drain(response: Response) -> None:
    """Read a small body so that the connection can serve again."""
    try:
        response.read_all(1 << 16)
    except (Corrupt, Unavailable):
        response.close()


def _skip(response: Response, offset: int) -> int:
    """How many bytes of the body come before `offset`: a server may ignore Range."""
    if response.status == 200 or not offset:
        return offset if response.status == 200 else 0
    unit, _, rest = response.header("Content-Range").partition(" ")
    first = rest.partition("-")[0]
    if unit != "bytes" or not first.isdigit() or int(first) > offset:
        raise Corrupt(f"{response.url.authority} sent another range than bytes {offset} and on")
    return offset - int(first)


def _speaks_plain(error: Unavailable) -> bool:
    import ssl

    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return False
    return isinstance(cause, (ssl.SSLError, ConnectionRefusedError, ConnectionResetError))


def _refusal(response: Response, what: str) -> LaminaError:
    """Translate an HTTP status, with the registry's own words where it has any (spec, "Error
    Codes")."""
    host, status = response.url.authority, response.status
    retry_after = response.header("Retry-After")
    words = _words(response)
    said = f": {words}" if words else ""
    if status == 404:
        return NotFound(
            f"{what} does not exist on {host}{said}", hint="check the name, the tag and the digest"
        )
    if status in (401, 403):
        return denied(host, words or f"status {status} for {what}")
    if status == 429:
        wait = f" for {retry_after} s" if retry_after.isdigit() else ""
        return Unavailable(
            f"{host} limits the rate of requests{wait}{said}",
            hint="wait, log in with `docker login`, or configure a mirror",
        )
    if status == 400 and "HTTPS server" in words:
        return Unavailable(
            f"{host} speaks HTTPS only",
            hint=f'configure [registry."{host}"] http = false',
        )
    if status >= 500:
        return Unavailable(f"{host} failed with status {status} for {what}{said}")
    return Unavailable(f"{host} answered {status} for {what}{said}")


def _words(response: Response) -> str:
    import json

    try:
        data = response.read_all(1 << 16)
    except (Corrupt, Unavailable):
        return ""
    try:
        errors = json.loads(data)["errors"]
        text = "; ".join(str(e.get("message") or e.get("code")) for e in errors)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        text = data.decode(errors="replace").strip()
        if text.startswith("<"):
            return ""
    return "".join(c if c.isprintable() else " " for c in text)[:300]
