"""Azure Blob Storage (the REST API, version 2021-12-02): block blobs."""

from __future__ import annotations

import threading
from base64 import b64encode
from typing import TYPE_CHECKING

from lamina.base.errors import AlreadyExists
from lamina.base.named_tuple import NamedTuple
from lamina.objectstores.azure_signing import VERSION
from lamina.objectstores.contract import PART, StoredObject
from lamina.objectstores.s3 import size_and_time
from lamina.objectstores.s3_signing import escaped_key, query_of
from lamina.objectstores.service import RETRIES, Body, Service, body_of, drained
from lamina.objectstores.upload_parts import part_body, parts_of, send_parts
from lamina.objectstores.xml_listing import element, elements
from lamina.registry.url import parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamina.objectstores.contract import BlobSource
    from lamina.objectstores.service import Signer
    from lamina.objectstores.upload_parts import Part
    from lamina.registry.transport import RetryPolicy
    from lamina.registry.url import Url
    from lamina.system.cancel import Cancellation

_LISTING = 8 << 20
_VERSION = (("x-ms-version", VERSION),)
_BLOCK_BLOB = ("x-ms-blob-type", "BlockBlob")
_UNLESS_IT_EXISTS = ("If-None-Match", "*")


class AzureConfig(NamedTuple):
    """A container. `url` is that of the account, with a shared access signature as its query if it
    has one; `key` the account's key in base64, "" for the identity of the machine."""

    url: str
    account: str
    container: str
    key: str = ""

    @property
    def label(self) -> str:
        """The container's address, without credentials."""
        return f"{self.url.partition('?')[0].rstrip('/')}/{self.container}"

    @property
    def service(self) -> str:
        """The name of the service."""
        return "Azure Blob Storage"

    def __repr__(self) -> str:
        return f"AzureConfig({self.label})"


class BlockBlob:
    """Writes one block blob at a URL. The Actions cache also stores its entries like this."""

    def __init__(self, service: Service, url: Url) -> None:
        self._service = service
        self._url = url

    def write(
        self,
        source: BlobSource,
        cancel: Cancellation,
        progress: Callable[[int], None],
        condition: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Upload a blob. Large ones are sent in blocks; those that were sent before are kept.

        Raises AlreadyExists if the `condition` does not hold.
        """
        if source.size <= PART:
            body = Body(lambda: source.read(0), source.size)
            self._put(self._url, body, cancel, (_BLOCK_BLOB, *condition))
            progress(source.size)
            return

        def send(part: Part, cancel: Cancellation) -> None:
            url = _with(self._url, (("blockid", _block(part.number)), ("comp", "block")))
            self._put(url, part_body(source, part), cancel)

        send_parts(source, self._stored(source.size, cancel), send, cancel, progress)
        blocks = "".join(
            f"<Latest>{_block(part.number)}</Latest>" for part in parts_of(source.size)
        )
        document = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{blocks}</BlockList>'
        url = _with(self._url, (("comp", "blocklist"),))
        self._put(url, body_of(document.encode()), cancel, condition)

    def _stored(self, size: int, cancel: Cancellation) -> set[int]:
        """The numbers of the blocks that an interrupted upload has sent."""
        known = {_block(part.number): part for part in parts_of(size)}
        url = _with(self._url, (("blocklisttype", "uncommitted"), ("comp", "blocklist")))
        with self._service.send("GET", url, cancel, _VERSION) as response:
            if response.status != 200:  # signed URLs for uploads do not permit reading
                drained(response)
                return set()
            data = response.read_all(_LISTING)
        found = set()
        for entry in elements(data, "Block"):
            part = known.get(element(entry, "Name"))
            if part is not None and element(entry, "Size") == str(part.size):
                found.add(part.number)
        return found

    def _put(
        self,
        url: Url,
        body: Body,
        cancel: Cancellation,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        sent = (*_VERSION, *headers)
        with self._service.expect((201,), "PUT", url, cancel, sent, body) as response:
            drained(response)


class AzureStore:
    """Implements `lamina.objectstores.contract.ObjectStore`. Creates the container if necessary."""

    def __init__(self, config: AzureConfig, sign: Signer, retries: RetryPolicy = RETRIES) -> None:
        self._service = Service(config.label, sign, retries)
        base, _, self._sas = config.url.partition("?")
        self._container = parse_url(f"{base.rstrip('/')}/{escaped_key(config.container)}")
        self._lock = threading.Lock()
        self._created = False

    def document(self, key: str, limit: int, cancel: Cancellation) -> bytes:
        url = self._url(key)
        with self._service.expect((200,), "GET", url, cancel, _VERSION) as response:
            return response.read_all(limit)

    def write_document(self, key: str, data: bytes, cancel: Cancellation) -> None:
        self._create(cancel)
        headers = (*_VERSION, _BLOCK_BLOB)
        with self._service.expect(
            (201,), "PUT", self._url(key), cancel, headers, body_of(data)
        ) as response:
            drained(response)

    def blob(self, key: str, offset: int, cancel: Cancellation) -> Iterator[bytes]:
        return self._service.resumed(self._url(key), offset, cancel, _VERSION)

    def find(self, key: str, cancel: Cancellation) -> StoredObject | None:
        with self._service.send("HEAD", self._url(key), cancel, _VERSION) as response:
            if response.status == 404:
                return None
            if response.status != 200:
                raise self._service.refusal(response)
            return StoredObject(key, *size_and_time(response))

    def write_blob(
        self, key: str, source: BlobSource, cancel: Cancellation, progress: Callable[[int], None]
    ) -> None:
        self._create(cancel)
        blob = BlockBlob(self._service, self._url(key))
        try:
            blob.write(source, cancel, progress, (_UNLESS_IT_EXISTS,))
        except AlreadyExists:
            progress(source.size)

    def refresh(self, found: StoredObject, cancel: Cancellation) -> None:
        """Set the blob's metadata, which changes its time."""
        url = _with(self._url(found.key), (("comp", "metadata"),))
        headers = (*_VERSION, ("x-ms-meta-refreshed", str(int(found.modified))))
        with self._service.expect((200,), "PUT", url, cancel, headers, body_of(b"")) as response:
            drained(response)

    def objects(self, prefix: str, cancel: Cancellation) -> Iterator[StoredObject]:
        from email.utils import parsedate_to_datetime

        marker: tuple[tuple[str, str], ...] = ()
        while True:
            query = (("comp", "list"), ("prefix", prefix), ("restype", "container"), *marker)
            url = _with(self._signed(self._container), query)
            with self._service.send("GET", url, cancel, _VERSION) as response:
                if response.status == 404:
                    return  # the container does not exist
                if response.status != 200:
                    raise self._service.refusal(response)
                data = response.read_all(_LISTING)
            for entry in elements(data, "Blob"):
                size, modified = element(entry, "Content-Length"), element(entry, "Last-Modified")
                when = parsedate_to_datetime(modified).timestamp() if modified else 0.0
                yield StoredObject(element(entry, "Name"), int(size or 0), when)
            following = element(data, "NextMarker")
            if not following:
                return
            marker = (("marker", following),)

    def delete(self, key: str, cancel: Cancellation) -> None:
        url = self._url(key)
        with self._service.expect((202, 404), "DELETE", url, cancel, _VERSION) as response:
            drained(response)

    def close(self) -> None:
        self._service.close()

    def _create(self, cancel: Cancellation) -> None:
        """Create the container before the first write. A signature may not permit that."""
        with self._lock:
            if self._created:
                return
        url = _with(self._signed(self._container), (("restype", "container"),))
        with self._service.send("PUT", url, cancel, _VERSION, body_of(b"")) as response:
            if response.status not in (201, 403, 409):
                raise self._service.refusal(response)
            drained(response)
        with self._lock:
            self._created = True

    def _url(self, key: str) -> Url:
        target = f"{self._container.target}/{escaped_key(key)}"
        return self._signed(self._container._replace(target=target))

    def _signed(self, url: Url) -> Url:
        return url._replace(target=f"{url.target}?{self._sas}") if self._sas else url


def _with(url: Url, query: tuple[tuple[str, str], ...]) -> Url:
    joint = "&" if "?" in url.target else "?"
    return url._replace(target=f"{url.target}{joint}{query_of(query)}")


def _block(number: int) -> str:
    """The ID of a block. All IDs of a blob must have the same length."""
    return b64encode(f"lamina-{number:08d}".encode()).decode()
