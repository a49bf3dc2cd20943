"""The http(s) source: one URL as one file."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

from lamina.base.digest import Digest, digest_of, parse_digest
from lamina.base.errors import Corrupt, InvalidInput, NotFound, Unavailable
from lamina.refs.plan import FilePlan, PlannedFile
from lamina.refs.ref import Ref
from lamina.solver.contract import CacheMap

if TYPE_CHECKING:
    from lamina.refs.pool import RefPool
    from lamina.solver.contract import OpContext

_CHUNK = 1 << 18
_TIMEOUT = 60


class HttpSource:
    """Downloads at each build and keys by content: an unchanged file changes nothing.

    `http.checksum` is what the content must be, `http.filename` its name.
    """

    def __init__(self, url: str, attrs: dict[str, str], scratch: str, pool: RefPool) -> None:
        self._url = url
        self._name = attrs.get("http.filename") or "download"
        checksum = attrs.get("http.checksum", "")
        self._expected = parse_digest(checksum) if checksum else None
        self._scratch = scratch
        self._pool = pool
        self._path = ""
        self._modified = 0

    def cache_map(self, context: OpContext) -> CacheMap:
        digest = self._download(context)
        if self._expected is not None and digest != self._expected:
            raise Corrupt(
                f"{self._url}: digest mismatch: the content is {digest}, not {self._expected}",
                hint="check --checksum, or whether the file has changed",
            )
        return CacheMap(digest_of(f"http.v1 {digest} {self._name}".encode()))

    def fetch(self, context: OpContext) -> Ref:
        plan = FilePlan(None)
        size = os.path.getsize(self._path)
        plan.put(
            self._name,
            PlannedFile(stat.S_IFREG | 0o600, 0, 0, self._modified, size=size, source=self._path),
        )
        return self._pool.commit_plan(plan, Ref(), self._url)

    def _download(self, context: OpContext) -> Digest:
        import email.utils
        import urllib.error
        import urllib.request
        from hashlib import sha256

        self._path = os.path.join(self._scratch, os.urandom(8).hex())
        hashed = sha256()
        request = urllib.request.Request(self._url, headers={"User-Agent": "lamina"})
        try:
            with (
                urllib.request.urlopen(request, timeout=_TIMEOUT) as response,
                open(self._path, "wb") as file,
            ):
                stamp = response.headers.get("Last-Modified")
                parsed = email.utils.parsedate_to_datetime(stamp) if stamp else None
                self._modified = int((parsed.timestamp() if parsed else time.time()) * 1e9)
                while chunk := response.read(_CHUNK):
                    context.cancel.check()
                    hashed.update(chunk)
                    file.write(chunk)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise NotFound(f"{self._url}: not found (HTTP 404)") from None
            raise Unavailable(f"{self._url}: HTTP status {error.code}") from None
        except urllib.error.URLError as error:
            raise Unavailable(f"{self._url}: {error.reason}") from None
        except ValueError as error:
            raise InvalidInput(f"{self._url}: {error}") from None
        return Digest("sha256:" + hashed.hexdigest())
