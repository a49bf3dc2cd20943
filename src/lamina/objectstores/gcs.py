"""Google Cloud Storage (the JSON API, version 1)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from lamina.base.errors import NotFound, PermissionDenied, Unavailable, Unsupported
from lamina.base.json_document import items, load_json_object, members, text
from lamina.base.named_tuple import NamedTuple
from lamina.base.times import parse_time
from lamina.objectstores.contract import PART, StoredObject
from lamina.objectstores.s3_signing import query_of
from lamina.objectstores.service import RETRIES, Body, Service, body_of, drained, no_credentials
from lamina.objectstores.tokens import BearerSigner, RenewedToken
from lamina.objectstores.upload_parts import Part, part_body
from lamina.registry.url import parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamina.objectstores.contract import BlobSource
    from lamina.objectstores.service import Signer
    from lamina.registry.transport import RetryPolicy
    from lamina.registry.url import Url
    from lamina.system.cancel import Cancellation

_SERVICE = "https://storage.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_DOCUMENT = 8 << 20
_JSON = ("Content-Type", "application/json")
_BINARY = ("Content-Type", "application/octet-stream")
_INCOMPLETE = 308
_APPLICATION = "GOOGLE_APPLICATION_CREDENTIALS"


class GcsConfig(NamedTuple):
    """A bucket. `endpoint` is "" for Google's; `credentials` the path of a file, or ""."""

    bucket: str
    endpoint: str = ""
    credentials: str = ""

    @property
    def label(self) -> str:
        """The bucket's address."""
        return f"gs://{self.bucket}"

    @property
    def service(self) -> str:
        """The name of the service."""
        return "Google Cloud Storage"


class GcsStore:
    """Implements `lamina.objectstores.contract.ObjectStore`."""

    def __init__(self, config: GcsConfig, sign: Signer, retries: RetryPolicy = RETRIES) -> None:
        self._service = Service(config.label, sign, retries)
        self._base = parse_url(config.endpoint or _SERVICE)
        self._bucket = quote(config.bucket, safe="")

    def document(self, key: str, limit: int, cancel: Cancellation) -> bytes:
        with self._service.expect((200,), "GET", self._media(key), cancel) as response:
            return response.read_all(limit)

    def write_document(self, key: str, data: bytes, cancel: Cancellation) -> None:
        self._write(key, body_of(data), cancel)

    def blob(self, key: str, offset: int, cancel: Cancellation) -> Iterator[bytes]:
        return self._service.resumed(self._media(key), offset, cancel)

    def find(self, key: str, cancel: Cancellation) -> StoredObject | None:
        with self._service.send("GET", self._object(key), cancel) as response:
            if response.status == 404:
                drained(response)
                return None
            if response.status != 200:
                raise self._service.refusal(response)
            return _stored(load_json_object(response.read_all(_DOCUMENT), "object"))

    def write_blob(
        self, key: str, source: BlobSource, cancel: Cancellation, progress: Callable[[int], None]
    ) -> None:
        if source.size <= PART:
            self._write(key, Body(lambda: source.read(0), source.size), cancel)
            progress(source.size)
            return
        query = query_of((("name", key), ("uploadType", "resumable")))
        url = self._at(f"/upload/storage/v1/b/{self._bucket}/o?{query}")
        headers = (_JSON, ("X-Upload-Content-Length", str(source.size)))
        with self._service.expect((200,), "POST", url, cancel, headers, body_of(b"{}")) as response:
            session = parse_url(response.header("Location"), url)
            drained(response)
        self._send(session, source, cancel, progress)

    def refresh(self, found: StoredObject, cancel: Cancellation) -> None:
        """Rewrite the object in place."""
        path = self._object(found.key).target
        url = self._at(f"{path}/rewriteTo/b/{self._bucket}/o/{quote(found.key, safe='')}")
        body = body_of(b"{}")
        with self._service.expect((200,), "POST", url, cancel, (_JSON,), body) as response:
            drained(response)

    def objects(self, prefix: str, cancel: Cancellation) -> Iterator[StoredObject]:
        page: tuple[tuple[str, str], ...] = ()
        while True:
            query = query_of((("prefix", prefix), *page))
            url = self._at(f"/storage/v1/b/{self._bucket}/o?{query}")
            with self._service.expect((200,), "GET", url, cancel) as response:
                document = load_json_object(response.read_all(_DOCUMENT), "list of objects")
            for entry in items(document.get("items")):
                yield _stored(members(entry))
            if not document.get("nextPageToken"):
                return
            page = (("pageToken", text(document["nextPageToken"])),)

    def delete(self, key: str, cancel: Cancellation) -> None:
        url = self._object(key)
        with self._service.expect((200, 204, 404), "DELETE", url, cancel) as response:
            drained(response)

    def close(self) -> None:
        self._service.close()

    def _write(self, key: str, body: Body, cancel: Cancellation) -> None:
        query = query_of((("name", key), ("uploadType", "media")))
        url = self._at(f"/upload/storage/v1/b/{self._bucket}/o?{query}")
        with self._service.expect((200,), "POST", url, cancel, (_BINARY,), body) as response:
            drained(response)

    def _send(
        self,
        session: Url,
        source: BlobSource,
        cancel: Cancellation,
        progress: Callable[[int], None],
    ) -> None:
        """Send the chunks of a resumable upload; after a failure ask for the received size."""
        offset = failures = 0
        while offset < source.size:
            size = min(PART, source.size - offset)
            ranged = ("Content-Range", f"bytes {offset}-{offset + size - 1}/{source.size}")
            body = part_body(source, Part(0, offset, size))
            try:
                received = self._put(session, (ranged,), body, source.size, cancel)
            except Unavailable:
                failures += 1
                if failures >= self._service.retries.attempts:
                    raise
                asked = ("Content-Range", f"bytes */{source.size}")
                received = self._put(session, (asked,), body_of(b""), source.size, cancel)
            if received <= offset:
                failures += 1
                if failures >= self._service.retries.attempts:
                    raise Unavailable(f"{self._service.name} does not receive the upload")
            offset = received
            progress(offset)

    def _put(
        self,
        session: Url,
        headers: tuple[tuple[str, str], ...],
        body: Body,
        size: int,
        cancel: Cancellation,
    ) -> int:
        """Send a request of an upload. Returns the number of bytes that the store has received."""
        statuses = (200, 201, _INCOMPLETE)
        with self._service.expect(statuses, "PUT", session, cancel, headers, body) as response:
            drained(response)
            if response.status != _INCOMPLETE:
                return size
            _, _, last = response.header("Range").rpartition("-")
            return int(last) + 1 if last.isdigit() else 0

    def _object(self, key: str) -> Url:
        return self._at(f"/storage/v1/b/{self._bucket}/o/{quote(key, safe='')}")

    def _media(self, key: str) -> Url:
        url = self._object(key)
        return url._replace(target=url.target + "?alt=media")

    def _at(self, target: str) -> Url:
        return self._base._replace(target=target)


def google_signer(config: GcsConfig) -> Signer:
    """Signs with the credentials that google-auth finds, or anonymously at another endpoint."""
    if config.endpoint and not config.credentials and not os.environ.get(_APPLICATION):
        return no_credentials
    return BearerSigner(RenewedToken(lambda cancel: _token(config.credentials, cancel)))


def _token(path: str, cancel: Cancellation) -> tuple[str, float]:
    try:
        import google.auth
        import google.auth.transport.requests
        from google.auth.exceptions import GoogleAuthError
    except ImportError:
        raise Unsupported(
            "credentials of Google Cloud need google-auth", hint="install lamina[gcs]"
        ) from None
    cancel.check()
    try:
        if path:
            found, _ = google.auth.load_credentials_from_file(path, scopes=[_SCOPE])
        else:
            found, _ = google.auth.default(scopes=[_SCOPE])
        found.refresh(google.auth.transport.requests.Request())
    except FileNotFoundError:
        raise NotFound(f"the credentials {path} do not exist") from None
    except GoogleAuthError as error:
        raise PermissionDenied(f"credentials of Google Cloud: {error}") from error
    from datetime import UTC

    expiry = found.expiry
    return str(found.token), expiry.replace(tzinfo=UTC).timestamp() if expiry else 0.0


def _stored(entry: dict[str, object]) -> StoredObject:
    size, updated = text(entry.get("size")), text(entry.get("updated"))
    modified = parse_time(updated) or 0.0
    return StoredObject(text(entry.get("name")), int(size or 0), modified)
