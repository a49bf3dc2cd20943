"""The http(s) source: one URL as one file."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from lamina.base.digest import Digest, digest_of, parse_digest
from lamina.base.errors import Corrupt, InvalidInput, NotFound, Unavailable
from lamina.base.gojson import encode
from lamina.refs.plan import FilePlan, PlannedFile
from lamina.refs.ref import Ref
from lamina.solver.contract import CacheMap
from lamina.sources.contract import source_digest

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from lamina.refs.pool import RefPool
    from lamina.session.contract import Session
    from lamina.solver.contract import OpContext
    from lamina.sources.material import Material
    from lamina.system.cancel import Cancellation

_CHUNK = 1 << 18
_TIMEOUT = 60


class Download(NamedTuple):
    """What a server said of a file that is kept: its validators, and what it was."""

    digest: str
    modified_ns: int
    etag: str
    last_modified: str


def _http_time(nanoseconds: int) -> str:
    """A time as HTTP headers have it (RFC 9110, 5.6.7)."""
    from email.utils import formatdate

    return formatdate(nanoseconds / 1e9, usegmt=True)


class HttpSource:
    """One URL, keyed by its content.

    What was downloaded is kept in `downloads`, and asked for again only if it has changed since
    (RFC 9110, section 13); a server that gives neither an ETag nor a Last-Modified is asked
    each time. `http.checksum` is what the content must be: if it is here already, nobody is
    asked. `http.filename` is its name.
    """

    def __init__(self, url: str, attrs: dict[str, str], downloads: str, pool: RefPool) -> None:
        self._url = url
        self.name = attrs.get("http.filename") or "download"
        checksum = attrs.get("http.checksum", "")
        self._expected = parse_digest(checksum) if checksum else None
        self._path = os.path.join(downloads, digest_of(url.encode()).hex[:32])
        self._pool = pool
        self._found: Download | None = None

    def cache_map(self, context: OpContext) -> CacheMap:
        found = self._found = self.bring(context.cancel)
        if self._expected is not None and found.digest != self._expected:
            raise Corrupt(
                f"{self._url}: digest mismatch: the content is {found.digest}, "
                f"not {self._expected}",
                hint="check --checksum, or whether the file has changed",
            )
        # As BuildKit has it: the name, mode and owner that the file gets, and when it was changed.
        document = {
            "Filename": self.name,
            "Perm": 0,
            "UID": 0,
            "GID": 0,
            "Checksum": found.digest,
            **({"LastModTime": _http_time(found.modified_ns)} if found.modified_ns else {}),
        }
        return CacheMap(source_digest(digest_of(encode(document))))

    def material(self) -> Material | None:
        if self._found is None:
            return None
        from lamina.sources.material import HttpMaterial

        return HttpMaterial(self._url, Digest(self._found.digest))

    def fetch(self, context: OpContext) -> Ref:
        found = self._found or self.bring(context.cancel)
        data = self._data(found)
        plan = FilePlan(None)
        mode = stat.S_IFREG | 0o600
        size = os.path.getsize(data)
        plan.put(self.name, PlannedFile(mode, 0, 0, found.modified_ns, size=size, source=data))
        return self._pool.commit_plan(plan, Ref(), self._url)

    def _data(self, found: Download) -> str:
        """Where the bytes are.

        Its name holds their digest, and earlier ones stay until they are pruned: another build
        may be reading them.
        """
        return f"{self._path}-{Digest(found.digest).hex[:32]}"

    def bring(self, cancel: Cancellation) -> Download:
        """See that what the server has is here. Raises NotFound, Unavailable, InvalidInput."""
        import fcntl

        with open(self._path + ".lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = self._known()
            if known is not None and known.digest == self._expected:
                return known
            found = self._download(cancel, known)
            with open(self._path + ".new", "w", encoding="utf-8") as file:
                json.dump(found, file)
            os.rename(self._path + ".new", self._path)
            return found

    def _known(self) -> Download | None:
        """The last download, if its bytes are still what they were."""
        try:
            with open(self._path, encoding="utf-8") as file:
                known = Download(*json.load(file))
            with open(self._data(known), "rb") as data:
                hashed = hashlib.file_digest(data, "sha256").hexdigest()
        except (OSError, ValueError, TypeError):
            return None
        return known if known.digest == f"sha256:{hashed}" else None

    def _download(self, cancel: Cancellation, known: Download | None) -> Download:
        import http.client
        import urllib.error
        import urllib.request

        headers = {"User-Agent": "lamina"}
        if known is not None and known.etag:
            headers["If-None-Match"] = known.etag
        if known is not None and known.last_modified:
            headers["If-Modified-Since"] = known.last_modified
        try:
            request = urllib.request.Request(self._url, headers=headers)
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
                return self._save(response, cancel)
        except urllib.error.HTTPError as error:
            if error.code == 304 and known is not None:
                return known
            if error.code == 404:
                raise NotFound(f"{self._url}: not found (HTTP 404)") from None
            raise Unavailable(f"{self._url}: HTTP status {error.code}") from None
        except urllib.error.URLError as error:
            raise Unavailable(f"{self._url}: {error.reason}") from None
        except ValueError as error:
            raise InvalidInput(f"{self._url}: {error}") from None
        except http.client.HTTPException as error:
            raise Unavailable(f"{self._url}: the answer breaks off: {error!r}") from None

    def _save(self, response: HTTPResponse, cancel: Cancellation) -> Download:
        import email.utils

        stamp = response.headers.get("Last-Modified", "")
        try:
            # Without a time it is the epoch: the same at every download.
            modified = email.utils.parsedate_to_datetime(stamp).timestamp() if stamp else 0.0
        except ValueError:
            modified = 0.0
        hashed = hashlib.sha256()
        part = self._path + ".part"
        length = 0
        with open(part, "wb") as file:
            while chunk := response.read(_CHUNK):
                cancel.check()
                hashed.update(chunk)
                file.write(chunk)
                length += len(chunk)
        wanted = response.headers.get("Content-Length")
        if wanted is not None and wanted.isdigit() and int(wanted) != length:
            raise Unavailable(f"{self._url}: {length} bytes came of {wanted}")
        found = Download(
            f"sha256:{hashed.hexdigest()}",
            int(modified * 1e9),
            response.headers.get("ETag", ""),
            stamp,
        )
        os.rename(part, self._data(found))
        return found


class UploadSource(HttpSource):
    """A stream that a client sends under a URL of its own making: a context on its standard
    input. It can be had once, and is nothing to come back to."""

    def __init__(
        self,
        url: str,
        attrs: dict[str, str],
        downloads: str,
        pool: RefPool,
        session: Session,
    ) -> None:
        super().__init__(url, attrs, downloads, pool)
        self._session = session

    def _known(self) -> Download | None:
        return None

    def _download(self, cancel: Cancellation, known: Download | None) -> Download:
        host, slash, path = self._url.removeprefix("http://").partition("/")
        hashed = hashlib.sha256()
        part = self._path + ".part"
        with open(part, "wb") as file:
            for piece in self._session.upload(host, slash + path, cancel):
                hashed.update(piece)
                file.write(piece)
        found = Download(f"sha256:{hashed.hexdigest()}", 0, "", "")
        os.rename(part, self._data(found))
        return found
