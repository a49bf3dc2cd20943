"""Amazon S3 and compatible stores (the REST API of 2006-03-01)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lamina.base.errors import NotFound, Unavailable
from lamina.base.named_tuple import NamedTuple
from lamina.base.times import parse_time
from lamina.objectstores.contract import PART, StoredObject
from lamina.objectstores.s3_signing import AwsKeys, S3Signer, escaped_key, query_of
from lamina.objectstores.service import NO_BODY, RETRIES, Body, Service, body_of, drained
from lamina.objectstores.upload_parts import part_body, parts_of, send_parts
from lamina.objectstores.xml_listing import element, elements
from lamina.registry.url import make_url, parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lamina.objectstores.contract import BlobSource
    from lamina.objectstores.upload_parts import Part
    from lamina.registry.transport import Response, RetryPolicy
    from lamina.registry.url import Url
    from lamina.system.cancel import Cancellation

_LISTING = 8 << 20
_MOST_COPIED = 5 << 30  # the maximum size of an object that one request can copy
_BINARY = ("Content-Type", "application/octet-stream")


class S3Config(NamedTuple):
    """A bucket. `endpoint` is "" for AWS; `keys` None for those of the environment."""

    bucket: str
    region: str
    endpoint: str = ""
    path_style: bool = False
    keys: AwsKeys | None = None

    @property
    def label(self) -> str:
        """The bucket's address, without credentials."""
        return f"s3://{self.bucket}"

    @property
    def service(self) -> str:
        """The name of the service."""
        return "Amazon S3"


class S3Store:
    """Implements `lamina.objectstores.contract.ObjectStore`."""

    def __init__(
        self,
        config: S3Config,
        keys: Callable[[Cancellation], AwsKeys | None],
        retries: RetryPolicy = RETRIES,
    ) -> None:
        self._service = Service(config.label, S3Signer(config.region, keys), retries)
        self._base, self._prefix = _address(config)
        self._bucket = config.bucket
        self._lock = threading.Lock()
        self._resumed: set[str] = set()

    def document(self, key: str, limit: int, cancel: Cancellation) -> bytes:
        with self._service.expect((200,), "GET", self._url(key), cancel) as response:
            return response.read_all(limit)

    def write_document(self, key: str, data: bytes, cancel: Cancellation) -> None:
        self._call("PUT", self._url(key), cancel, (_BINARY,), body_of(data))

    def blob(self, key: str, offset: int, cancel: Cancellation) -> Iterator[bytes]:
        return self._service.resumed(self._url(key), offset, cancel)

    def find(self, key: str, cancel: Cancellation) -> StoredObject | None:
        with self._service.send("HEAD", self._url(key), cancel) as response:
            if response.status == 404:
                return None
            if response.status != 200:
                raise self._service.refusal(response)
            return StoredObject(key, *size_and_time(response))

    def write_blob(
        self, key: str, source: BlobSource, cancel: Cancellation, progress: Callable[[int], None]
    ) -> None:
        if source.size <= PART:
            body = Body(lambda: source.read(0), source.size, source.digest.hex)
            self._call("PUT", self._url(key), cancel, (_BINARY,), body)
            progress(source.size)
            return
        try:
            self._write_parts(key, source, cancel, progress)
        except NotFound:  # the store has dropped the unfinished upload
            self._write_parts(key, source, cancel, progress)

    def refresh(self, found: StoredObject, cancel: Cancellation) -> None:
        """Copy the object to itself. Larger objects than 5 GiB keep their time."""
        if found.size >= _MOST_COPIED:
            return
        headers = (
            ("x-amz-copy-source", escaped_key(f"{self._bucket}/{found.key}")),
            ("x-amz-metadata-directive", "REPLACE"),
            ("x-amz-meta-updated-at", str(int(found.modified))),
        )
        self._call("PUT", self._url(found.key), cancel, headers)

    def objects(self, prefix: str, cancel: Cancellation) -> Iterator[StoredObject]:
        following: tuple[tuple[str, str], ...] = ()
        while True:
            query = (("list-type", "2"), ("prefix", prefix), *following)
            data = self._get(query, "", cancel)
            for entry in elements(data, "Contents"):
                size, modified = element(entry, "Size"), element(entry, "LastModified")
                key = element(entry, "Key")
                yield StoredObject(key, int(size or 0), parse_time(modified) or 0.0)
            token = element(data, "NextContinuationToken")
            if not token:
                return
            following = (("continuation-token", token),)

    def delete(self, key: str, cancel: Cancellation) -> None:
        with self._service.expect((200, 204, 404), "DELETE", self._url(key), cancel) as response:
            drained(response)

    def close(self) -> None:
        self._service.close()

    def _write_parts(
        self, key: str, source: BlobSource, cancel: Cancellation, progress: Callable[[int], None]
    ) -> None:
        upload, stored = self._begin(key, source.size, cancel)
        tags = dict(stored)

        def send(part: Part, cancel: Cancellation) -> None:
            query = (("partNumber", str(part.number)), ("uploadId", upload))
            url, body = self._url(key, query), part_body(source, part)
            with self._service.expect((200,), "PUT", url, cancel, body=body) as response:
                tags[part.number] = response.header("ETag")
                drained(response)

        send_parts(source, stored, send, cancel, progress)
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
            for number, tag in sorted(tags.items())
        )
        document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        url = self._url(key, (("uploadId", upload),))
        with self._service.expect((200,), "POST", url, cancel, (), body_of(document)) as response:
            answer = response.read_all(_LISTING)
        if element(answer, "Code"):  # S3 can report an error after it has sent the status 200
            raise Unavailable(f"{self._service.name}: {element(answer, 'Message')}")

    def _begin(self, key: str, size: int, cancel: Cancellation) -> tuple[str, Mapping[int, str]]:
        """The ID of a new or unfinished upload, and the tags of its parts by their numbers."""
        with self._lock:
            first = key not in self._resumed
            self._resumed.add(key)
        if first:
            for upload in self._unfinished(key, cancel):
                stored = self._parts(key, upload, cancel)
                known = {part.number: part.size for part in parts_of(size)}
                if stored and all(known.get(n) == length for n, (length, _) in stored.items()):
                    return upload, {number: tag for number, (_, tag) in stored.items()}
        url = self._url(key, (("uploads", ""),))
        with self._service.expect((200,), "POST", url, cancel, (_BINARY,)) as response:
            upload = element(response.read_all(_LISTING), "UploadId")
        if not upload:
            raise Unavailable(f"{self._service.name} did not begin an upload")
        return upload, {}

    def _unfinished(self, key: str, cancel: Cancellation) -> Iterator[str]:
        """The IDs of unfinished uploads of a key. Stores that do not list them have none."""
        try:
            data = self._get((("uploads", ""), ("prefix", key)), "", cancel)
        except (Unavailable, NotFound):
            return
        for entry in elements(data, "Upload"):
            if element(entry, "Key") == key:
                yield element(entry, "UploadId")

    def _parts(self, key: str, upload: str, cancel: Cancellation) -> dict[int, tuple[int, str]]:
        """The size and tag of each part of an upload, by number. Later parts are sent again."""
        try:
            data = self._get((("uploadId", upload),), key, cancel)
        except NotFound:
            return {}
        return {
            int(element(entry, "PartNumber")): (int(element(entry, "Size")), element(entry, "ETag"))
            for entry in elements(data, "Part")
        }

    def _get(self, query: tuple[tuple[str, str], ...], key: str, cancel: Cancellation) -> bytes:
        url = self._url(key, query)
        with self._service.expect((200,), "GET", url, cancel) as response:
            return response.read_all(_LISTING)

    def _call(
        self,
        method: str,
        url: Url,
        cancel: Cancellation,
        headers: tuple[tuple[str, str], ...] = (),
        body: Body = NO_BODY,
    ) -> None:
        with self._service.expect((200, 201, 204), method, url, cancel, headers, body) as response:
            drained(response)

    def _url(self, key: str, query: tuple[tuple[str, str], ...] = ()) -> Url:
        target = self._prefix + escaped_key(key)
        return self._base._replace(target=f"{target}?{query_of(query)}" if query else target)


def _address(config: S3Config) -> tuple[Url, str]:
    """The URL of a bucket's host, and the path of the bucket. Raises InvalidInput."""
    if not config.endpoint:
        suffix = "amazonaws.com.cn" if config.region.startswith("cn-") else "amazonaws.com"
        host = f"s3.{config.region}.{suffix}"
        if "." in config.bucket:  # the certificate of AWS is valid for one label only
            return make_url("https", host, "/"), f"/{escaped_key(config.bucket)}/"
        return make_url("https", f"{config.bucket}.{host}", "/"), "/"
    base = parse_url(config.endpoint)
    path = base.target.rstrip("/")
    if config.path_style:
        return base, f"{path}/{escaped_key(config.bucket)}/"
    return base._replace(host=f"{config.bucket}.{base.host}"), f"{path}/"


def size_and_time(response: Response) -> tuple[int, float]:
    """The size and the time of an object, from the headers of a response."""
    from email.utils import parsedate_to_datetime

    try:
        modified = parsedate_to_datetime(response.header("Last-Modified")).timestamp()
    except (TypeError, ValueError):
        modified = 0.0
    length = response.header("Content-Length")
    return int(length) if length.isdigit() else 0, modified
