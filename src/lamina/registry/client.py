"""Reads from registries (OCI distribution spec v1.1, "Pull")."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, TypeVar

from lamina.base.digest import Digest, digest_of, parse_digest
from lamina.base.errors import Cancelled, Corrupt, LaminaError, NotFound, Unavailable
from lamina.base.oci import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    Descriptor,
    Index,
    parse_manifest,
)
from lamina.registry.credentials import CredentialSource, DockerConfig
from lamina.registry.exchange import Call, Exchange, refusal
from lamina.registry.hosts import Endpoint, Hosts
from lamina.registry.transport import Response, RetryPolicy, Transport
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from lamina.base.reference import Reference
    from lamina.registry.credentials import TokenSource
    from lamina.registry.transfer_limiter import TransferLimiter

_T = TypeVar("_T")
_MANIFEST_LIMIT = 16 << 20
_CHUNK = 256 << 10
_NOT_SERVED = (400, 404, 405, 501)
"""The statuses of registries before version 1.1 for unsupported requests."""
_ACCEPT = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES, "*/*"))
# Progress (bytes) that a broken transfer must have made, so that the next attempt does not count as
# a further failure.
_PROGRESS = 64 << 10


class RegistryClient:
    """A client for all registries, which tries mirrors first. Thread-safe; a context manager.

    Args:
        hosts: mirrors, schemes and TLS by registry name.
        credentials: by default those of `lamina login` and `docker login`.
        retry_policy: time-outs and attempts.
        tokens: fetches bearer tokens; None: the client itself does.
        limiter: limits concurrent blob transfers; None: no limit.
    """

    def __init__(
        self,
        hosts: Hosts = Hosts(),  # noqa: B008 -- immutable
        credentials: CredentialSource | None = None,
        retry_policy: RetryPolicy = RetryPolicy(),  # noqa: B008 -- immutable
        tokens: TokenSource | None = None,
        limiter: TransferLimiter | None = None,
    ) -> None:
        self._hosts = hosts
        self._limiter = limiter
        self._transport = Transport(retry_policy)
        self._exchange = Exchange(self._transport, credentials or DockerConfig(), tokens)
        self._lock = threading.Lock()
        self._manifests: dict[Digest, bytes] = {}

    def __enter__(self) -> RegistryClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close idle connections. Those of running calls are closed when the calls end."""
        self._transport.close()

    def resolve(self, reference: Reference, cancel: Cancellation | None = None) -> Descriptor:
        """Resolve a name (tag or digest) to the descriptor of an index or a manifest.

        Raises NotFound, PermissionDenied, Unavailable, Corrupt, Cancelled.
        """
        return self._each(reference, cancel or Cancellation(), self._resolve)

    def manifest(
        self, reference: Reference, digest: Digest, cancel: Cancellation | None = None
    ) -> bytes:
        """The exact bytes of an index or manifest, verified. Raises as `resolve` does."""
        with self._lock:
            kept = self._manifests.pop(digest, None)
        if kept is not None:
            return kept

        def get(endpoint: Endpoint, reference: Reference, cancel: Cancellation) -> bytes:
            data, _ = self._get_manifest(endpoint, reference, str(digest), cancel)
            if hashlib.new(digest.algorithm, data).hexdigest() != digest.hex:
                raise Corrupt(
                    f"{endpoint.host} sent data for {reference.familiar} that is not {digest}"
                )
            return data

        return self._each(reference, cancel or Cancellation(), get)

    def referrers(
        self, reference: Reference, digest: Digest, cancel: Cancellation | None = None
    ) -> tuple[Descriptor, ...]:
        """The manifests whose subject is another one, for example signatures.

        If a registry does not support the API, they are in an index under a tag (spec, "Referrers
        Tag Schema"). Empty if there are none. Raises as `resolve` does.
        """

        def get(
            endpoint: Endpoint, reference: Reference, cancel: Cancellation
        ) -> tuple[Descriptor, ...]:
            path = f"/{reference.path}/referrers/{digest}"
            call = Call("GET", endpoint, reference, path, (("Accept", OCI_INDEX),))
            with self._exchange.ask(call, cancel) as response:
                if response.status == 200:
                    data = response.read_all(_MANIFEST_LIMIT)
                elif response.status not in _NOT_SERVED:
                    raise refusal(response, f"referrers of {digest} of {reference.familiar}")
                else:
                    tag = f"{digest.algorithm}-{digest.hex}"
                    data, _ = self._get_manifest(endpoint, reference, tag, cancel)
            listed = parse_manifest(data, OCI_INDEX)
            return listed.manifests if isinstance(listed, Index) else ()

        try:
            return self._each(reference, cancel or Cancellation(), get)
        except NotFound:
            return ()

    def describe_blob(
        self, reference: Reference, digest: Digest, cancel: Cancellation | None = None
    ) -> Descriptor:
        """The size of a blob, as a descriptor without a media type. Raises as `resolve` does."""

        def head(endpoint: Endpoint, reference: Reference, cancel: Cancellation) -> Descriptor:
            path = f"/{reference.path}/blobs/{digest}"
            with self._exchange.ask(Call("HEAD", endpoint, reference, path), cancel) as response:
                if response.status != 200:
                    raise refusal(response, f"blob {digest} of {reference.familiar}")
                size = response.header("Content-Length")
            if not size.isdigit():
                raise Corrupt(f"{endpoint.host} does not report the size of {digest}")
            return Descriptor("", digest, int(size))

        return self._each(reference, cancel or Cancellation(), head)

    def blob(
        self,
        reference: Reference,
        descriptor: Descriptor,
        offset: int = 0,
        cancel: Cancellation | None = None,
    ) -> Iterator[bytes]:
        """The bytes of a blob from `offset` on, in pieces. Resumes after a broken connection.

        The size is checked; the receiver must check the digest. Raises as `resolve` does.
        """
        cancel = cancel or Cancellation()
        failures = 0
        position = offset
        while position < descriptor.size:
            start = position
            with self.transfer_slot(reference, cancel):
                # The transport retries requests; this loop resumes a response that breaks.
                response = self._open_blob(reference, descriptor, position, cancel)
                try:
                    for chunk in _body(response, descriptor, position):
                        cancel.check()
                        position += len(chunk)
                        yield chunk
                except Unavailable:
                    failures = 1 if position - start >= _PROGRESS else failures + 1
                    retry_policy = self._transport.retry_policy
                    if failures >= retry_policy.attempts:
                        raise
                    if cancel.wait(retry_policy.pause * 2.0**failures):
                        cancel.check()
                    continue
            if position < descriptor.size:
                raise Corrupt(
                    f"{reference.domain} sent only {position} of {descriptor.size} bytes"
                    f" for {descriptor.digest}"
                )

    def push_target(self, reference: Reference) -> Endpoint:
        """The endpoint for pushes to a name. It is never a mirror."""
        return self._hosts.endpoints(reference.domain)[-1]

    def transfer_slot(
        self, reference: Reference, cancel: Cancellation
    ) -> AbstractContextManager[None]:
        """A permit to transfer one blob. Raises Cancelled when it is entered."""
        from contextlib import nullcontext

        if self._limiter is None:
            return nullcontext()
        return self._limiter.slot(reference.domain, cancel)

    @property
    def exchange(self) -> Exchange:
        """The exchange, for `lamina.registry.push`."""
        return self._exchange

    @property
    def retry_policy(self) -> RetryPolicy:
        return self._transport.retry_policy

    def _open_blob(
        self, reference: Reference, descriptor: Descriptor, offset: int, cancel: Cancellation
    ) -> Response:
        def get(endpoint: Endpoint, reference: Reference, cancel: Cancellation) -> Response:
            path = f"/{reference.path}/blobs/{descriptor.digest}"
            headers = (("Range", f"bytes={offset}-"),) if offset else ()
            response = self._exchange.ask(Call("GET", endpoint, reference, path, headers), cancel)
            if response.status not in (200, 206):
                raise refusal(response, f"blob {descriptor.digest} of {reference.familiar}")
            return response

        return self._each(reference, cancel, get)

    def _resolve(
        self, endpoint: Endpoint, reference: Reference, cancel: Cancellation
    ) -> Descriptor:
        wanted = str(reference.digest or reference.tag)
        path = f"/{reference.path}/manifests/{wanted}"
        headers = (("Accept", _ACCEPT),)
        with self._exchange.ask(
            Call("HEAD", endpoint, reference, path, headers), cancel
        ) as response:
            kind = response.header("Content-Type").partition(";")[0].strip()
            digest = response.header("Docker-Content-Digest")
            size = response.header("Content-Length")
            status = response.status
        if status == 200 and digest and size.isdigit() and kind in (*INDEX_TYPES, *MANIFEST_TYPES):
            found = Descriptor(kind, parse_digest(digest), int(size))
        else:
            # Not every registry supports HEAD, or sends all headers; the content is enough.
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
        failures = 0
        while True:
            with self._exchange.ask(
                Call("GET", endpoint, reference, path, headers), cancel
            ) as response:
                if response.status != 200:
                    raise refusal(response, reference.familiar)
                kind = response.header("Content-Type").partition(";")[0].strip()
                try:
                    return response.read_all(_MANIFEST_LIMIT), kind
                except Unavailable:
                    # It broke in the body; the transport only retries before that.
                    failures += 1
                    if failures >= self.retry_policy.attempts:
                        raise
            if cancel.wait(self.retry_policy.pause * 2.0**failures):
                cancel.check()

    def _each(
        self,
        reference: Reference,
        cancel: Cancellation,
        ask: Callable[[Endpoint, Reference, Cancellation], _T],
    ) -> _T:
        """Request from the endpoints in order. If all fail, the error is that of the last one."""
        endpoints = self._hosts.endpoints(reference.domain)
        for endpoint in endpoints[:-1]:
            try:
                return ask(endpoint, reference, cancel)
            except Cancelled:
                raise
            except LaminaError:
                continue
        return ask(endpoints[-1], reference, cancel)


def _body(response: Response, descriptor: Descriptor, offset: int) -> Iterator[bytes]:
    """The bytes from `offset` on, limited to the expected size."""
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


def _skip(response: Response, offset: int) -> int:
    """The number of bytes of the body before `offset`: a server may ignore Range."""
    if response.status == 200 or not offset:
        return offset if response.status == 200 else 0
    unit, _, rest = response.header("Content-Range").partition(" ")
    first = rest.partition("-")[0]
    if unit != "bytes" or not first.isdigit() or int(first) > offset:
        raise Corrupt(f"{response.url.authority} sent a different range than bytes {offset} and on")
    return offset - int(first)
