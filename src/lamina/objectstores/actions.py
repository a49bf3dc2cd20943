"""The cache of GitHub Actions: the service protocol v2 ("github.actions.results.api.v1").

Requests are JSON over POST (Twirp). The service returns signed URLs of Azure blobs, where the
content is written and read:

    GetCacheEntryDownloadURL   the newest entry that the key, or a restore key as a prefix, names
    CreateCacheEntry           reserves a key, and returns the URL for its upload
    FinalizeCacheEntryUpload   makes the entry visible

Entries are immutable, and a key belongs to a scope: the branch of the job. A job reads the entries
of its branch, of the target branch of its pull request and of the default branch. The token names
these scopes. So a document `k` is a series of entries, `k#1`, `k#2` …, of which the newest counts:
the convention of BuildKit (go-actions-cache, `SaveMutable`).

Lists and deletion belong to another API, which needs a token of GitHub itself (`ghtoken`).
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

from lamina.base.errors import (
    AlreadyExists,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Unavailable,
    Unsupported,
)
from lamina.base.json_document import items, load_json_object, members, text, whole_number
from lamina.base.named_tuple import NamedTuple
from lamina.base.times import parse_time
from lamina.objectstores.azure import BlockBlob
from lamina.objectstores.contract import BlobSource, StoredObject
from lamina.objectstores.s3_signing import query_of
from lamina.objectstores.service import RETRIES, Service, body_of, drained, no_credentials
from lamina.objectstores.tokens import BearerSigner
from lamina.registry.url import parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamina.registry.transport import Response, RetryPolicy
    from lamina.registry.url import Url
    from lamina.system.cancel import Cancellation

_SERVICE = "/twirp/github.actions.results.api.v1.CacheService/"
_GITHUB = "https://api.github.com"
_JSON = ("Content-Type", "application/json")
_ANSWER = 1 << 20
_LISTING = 8 << 20
_WRITE = 2
_ATTEMPTS = 16
_PAUSE = 1.0


class ActionsScope(NamedTuple):
    """A branch whose entries a token may read, or also write."""

    name: str
    writable: bool


class ActionsConfig(NamedTuple):
    """The service and its token. `github_token` and `repository` ("owner/name") allow lists."""

    url: str
    token: str
    repository: str = ""
    github_token: str = ""
    api: str = _GITHUB

    @property
    def label(self) -> str:
        return "GitHub Actions cache"

    @property
    def service(self) -> str:
        """The name of the service."""
        return "GitHub Actions Cache"

    def __repr__(self) -> str:
        return f"ActionsConfig({self.url})"


def scopes_of(token: str) -> tuple[ActionsScope, ...]:
    """The scopes in a runtime token (a JWT, which only the service can verify).

    Raises InvalidInput for other tokens and for expired ones.
    """
    from base64 import urlsafe_b64decode

    try:
        _, claims, _ = token.split(".")
        document = members(json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4))))
        listed = [members(entry) for entry in items(json.loads(text(document["ac"])))]
        expires = document["exp"]
        scopes = tuple(
            ActionsScope(text(e["Scope"]), bool(whole_number(e["Permission"]) & _WRITE))
            for e in listed
        )
        expired = time.time() > float(expires)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInput(
            "the token for the GitHub Actions cache is malformed",
            hint="pass the runner's ACTIONS_RUNTIME_TOKEN to the step",
        ) from error
    if expired:
        raise InvalidInput("the token for the GitHub Actions cache has expired")
    return scopes


class ActionsStore:
    """Implements `lamina.objectstores.contract.ObjectStore`."""

    def __init__(self, config: ActionsConfig, retries: RetryPolicy = RETRIES) -> None:
        """Raises InvalidInput, Unsupported if the URL or the token is missing or malformed."""
        if not config.token:
            raise InvalidInput(
                "there is no token for the GitHub Actions cache",
                hint="pass the runner's ACTIONS_RUNTIME_TOKEN to the step",
            )
        if not config.url:
            raise Unsupported(
                "there is no address of the GitHub Actions cache (protocol v2)",
                hint="pass the runner's ACTIONS_RESULTS_URL to the step",
            )
        self._config = config
        self._base = parse_url(config.url.rstrip("/") + _SERVICE)
        scopes_of(config.token)
        self._service = Service(config.label, BearerSigner(lambda _: config.token), retries)
        # Signed URLs must not get the token.
        self._blobs = Service(f"storage of the {config.label}", no_credentials, retries)
        self._github = Service(
            config.api,
            BearerSigner(
                lambda _: config.github_token, (("Accept", "application/vnd.github+json"),)
            ),
            retries,
        )
        self._lock = threading.Lock()
        self._known: dict[str, StoredObject] | None = None
        self._unlisted = False

    def document(self, key: str, limit: int, cancel: Cancellation) -> bytes:
        newest = self._newest(key, cancel)
        if newest is None:
            raise NotFound(f"{self._config.label} has no {key}")
        with self._blobs.expect((200,), "GET", newest[1], cancel) as response:
            return response.read_all(limit)

    def write_document(self, key: str, data: bytes, cancel: Cancellation) -> None:
        from lamina.base.digest import digest_of

        source = BlobSource(digest_of(data), len(data), lambda offset: (data[offset:],))
        number = self._number(key, cancel)
        for attempt in range(_ATTEMPTS):
            number += 1
            try:
                self._write(f"{key}#{number}", source, cancel, lambda _: None)
                return
            except AlreadyExists:
                # Another job writes this number now, or has failed to. Wait for its entry first.
                if attempt < 2:
                    if cancel.wait(_PAUSE * (attempt + 1)):
                        cancel.check()
                    number = max(number - 1, self._number(key, cancel))
        raise Unavailable(f"too many jobs write {key} in the {self._config.label}")

    def blob(self, key: str, offset: int, cancel: Cancellation) -> Iterator[bytes]:
        entry = self._entry(key, cancel)
        if entry is None:
            raise NotFound(f"{self._config.label} has no {key}")
        return self._blobs.resumed(entry[1], offset, cancel)

    def find(self, key: str, cancel: Cancellation) -> StoredObject | None:
        """Look in the list of all entries if there is a token for it: one request for many blobs,
        as the service limits the rate of requests."""
        known = self._listed(cancel)
        if known is not None:
            return known.get(key)
        entry = self._entry(key, cancel)
        if entry is None:
            return None
        # HEAD is not permitted by the signature: ask for the first byte.
        with self._blobs.send("GET", entry[1], cancel, (("Range", "bytes=0-0"),)) as response:
            if response.status not in (200, 206):
                return None
            size = _size(response)
        return StoredObject(key, size, time.time())

    def write_blob(
        self, key: str, source: BlobSource, cancel: Cancellation, progress: Callable[[int], None]
    ) -> None:
        try:
            self._write(key, source, cancel, progress)
        except AlreadyExists:
            progress(source.size)
        with self._lock:
            if self._known is not None:
                self._known[key] = StoredObject(key, source.size, time.time())

    def refresh(self, found: StoredObject, cancel: Cancellation) -> None:
        """Nothing: the service counts reads as uses, and deletes what is unused for 7 days."""

    def objects(self, prefix: str, cancel: Cancellation) -> Iterator[StoredObject]:
        page = 1
        while True:
            query = query_of((("key", prefix), ("page", str(page)), ("per_page", "100")))
            with self._github.expect((200,), "GET", self._caches(query), cancel) as response:
                document = load_json_object(response.read_all(_LISTING), "list of caches")
            listed = [members(entry) for entry in items(document.get("actions_caches"))]
            for entry in listed:
                size = whole_number(entry.get("size_in_bytes", 0))
                used = parse_time(text(entry.get("last_accessed_at"))) or 0.0
                yield StoredObject(text(entry.get("key")), size, used)
            if len(listed) < 100:
                return
            page += 1

    def delete(self, key: str, cancel: Cancellation) -> None:
        url = self._caches(query_of((("key", key),)))
        with self._github.expect((200, 204, 404), "DELETE", url, cancel) as response:
            drained(response)

    def close(self) -> None:
        for service in (self._service, self._blobs, self._github):
            service.close()

    def _listed(self, cancel: Cancellation) -> dict[str, StoredObject] | None:
        if not (self._config.github_token and self._config.repository):
            return None
        with self._lock:
            if self._known is None and not self._unlisted:
                try:
                    self._known = {found.key: found for found in self.objects("", cancel)}
                except (NotFound, PermissionDenied):  # the token does not permit it
                    self._unlisted = True
            return self._known

    def _write(
        self, key: str, source: BlobSource, cancel: Cancellation, progress: Callable[[int], None]
    ) -> None:
        """Reserve a key, upload its content and finish. Raises AlreadyExists."""
        reserved = self._ask("CreateCacheEntry", {"key": key}, cancel)
        url = _signed_url(reserved, "signed_upload_url")
        if not reserved.get("ok") or url is None:
            raise Unavailable(f"{self._config.label} did not reserve {key}")
        BlockBlob(self._blobs, url).write(source, cancel, progress)
        size = {"key": key, "size_bytes": source.size}
        if not self._ask("FinalizeCacheEntryUpload", size, cancel).get("ok"):
            raise Unavailable(f"{self._config.label} did not accept {key}")

    def _number(self, key: str, cancel: Cancellation) -> int:
        """The number of a document's newest entry; 0 for none."""
        newest = self._newest(key, cancel)
        _, _, number = newest[0].rpartition("#") if newest is not None else ("", "", "0")
        return int(number) if number.isdigit() else 0

    def _newest(self, key: str, cancel: Cancellation) -> tuple[str, Url] | None:
        return self._matching(f"{key}#", cancel)

    def _entry(self, key: str, cancel: Cancellation) -> tuple[str, Url] | None:
        """The entry of exactly this key: the service also matches prefixes."""
        found = self._matching(key, cancel)
        return found if found is not None and found[0] == key else None

    def _matching(self, key: str, cancel: Cancellation) -> tuple[str, Url] | None:
        """The key and URL of the newest entry whose key begins with `key`."""
        asked = {"key": key, "restore_keys": [key]}
        try:
            answer = self._ask("GetCacheEntryDownloadURL", asked, cancel)
        except NotFound:
            return None
        url = _signed_url(answer, "signed_download_url")
        if not answer.get("ok") or url is None:
            return None
        return text(answer.get("matched_key")), url

    def _ask(self, method: str, document: dict[str, Any], cancel: Cancellation) -> dict[str, Any]:
        url = self._base._replace(target=self._base.target + method)
        body = body_of(json.dumps({**document, "version": entry_version()}).encode())
        with self._service.send("POST", url, cancel, (_JSON,), body) as response:
            if response.status == 200:
                return load_json_object(response.read_all(_ANSWER), "answer of the cache")
            raise self._service.refusal(response)

    def _caches(self, query: str) -> Url:
        if not (self._config.github_token and self._config.repository):
            raise Unsupported(
                f"the {self._config.label} lists its entries only for a token of GitHub",
                hint="set ghtoken and repository",
            )
        base = parse_url(self._config.api)
        path = f"{base.target.rstrip('/')}/repos/{self._config.repository}/actions/caches"
        return base._replace(target=f"{path}?{query}")


def entry_version() -> str:
    """The version of all entries: BuildKit's, so that each finds the other's."""
    from hashlib import sha256

    return sha256(b"|go-actionscache-1.0").hexdigest()


def _signed_url(answer: dict[str, Any], name: str) -> Url | None:
    address = text(answer.get(name))
    return parse_url(address) if address else None


def _size(response: Response) -> int:
    """The size of a whole object, from the response to a request of its first byte."""
    total = response.header("Content-Range").rpartition("/")[2] or response.header("Content-Length")
    return int(total) if total.isdigit() else 0
