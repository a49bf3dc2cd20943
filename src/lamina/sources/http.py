"""The http(s) source: one URL as one file."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.base.digest import Digest, digest_of, parse_digest
from lamina.base.errors import Corrupt, InvalidInput, LaminaError, Unavailable, Unsupported
from lamina.base.gojson import encode
from lamina.base.limits import DOWNLOAD, SizeLimit
from lamina.base.named_tuple import NamedTuple
from lamina.refs.plan import FilePlan, PlannedFile
from lamina.refs.ref import Ref
from lamina.solver.contract import CacheMap
from lamina.sources.contract import source_digest
from lamina.system.locks import held

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamina.refs.manager import RefManager
    from lamina.solver.contract import OpContext
    from lamina.sources.contract import Requester
    from lamina.sources.http_request import Answered
    from lamina.sources.material import Material
    from lamina.system.cancel import Cancellation
    from lamina.system.network import SocketGuard

_HEADERS = ("Accept", "User-Agent")
"""The request headers that a definition may set."""


class HttpFile(NamedTuple):
    """A download in a definition: the `http.*` attributes of its source op.

    `name` is "" if the server or the URL gives it. `perm` of 0 is 0600. `auth_secret` is the ID of
    the secret that is sent as the Authorization header.
    """

    name: str = ""
    checksum: Digest | None = None
    perm: int = 0
    uid: int = 0
    gid: int = 0
    auth_secret: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def http_file(attrs: Mapping[str, str]) -> HttpFile:
    """Read the attributes. Raises InvalidInput; Unsupported for unknown ones that must not be
    ignored."""
    if attrs.get("http.sig.pubkey") or attrs.get("http.sig.signature"):
        raise Unsupported("signatures of downloads (http.sig.pubkey) are not supported")
    checksum = attrs.get("http.checksum", "")
    titled = (
        ("-".join(part.capitalize() for part in key[12:].split("-")), value)
        for key, value in attrs.items()
        if key.startswith("http.header.")
    )
    return HttpFile(
        attrs.get("http.filename", ""),
        parse_digest(checksum) if checksum else None,
        _number(attrs, "http.perm"),
        _number(attrs, "http.uid"),
        _number(attrs, "http.gid"),
        attrs.get("http.authheadersecret", ""),
        tuple(sorted(pair for pair in titled if pair[0] in _HEADERS)),
    )


def _number(attrs: Mapping[str, str], key: str) -> int:
    text = attrs.get(key, "0")
    try:
        # As Go writes numbers: 0600 is octal.
        octal = text.lstrip("0").isdecimal() and text.startswith("0")
        number = int(text, 8 if octal else 0)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 32:
        raise InvalidInput(f'{key} must be a number, not "{text}"')
    return number


class Download(NamedTuple):
    """The response for a downloaded file: its validators, and the digest of its content.

    `name` is the file name from the server, "" if there is none.
    """

    digest: str
    modified_ns: int
    etag: str
    last_modified: str
    name: str = ""


def _http_time(nanoseconds: int) -> str:
    """A time in the format of HTTP headers (RFC 9110, 5.6.7)."""
    from email.utils import formatdate

    return formatdate(nanoseconds / 1e9, usegmt=True)


class HttpSource:
    """One URL, keyed by its content.

    Downloads are kept in `downloads` (until they are complete, in `scratch`), and downloaded again
    only if they have changed (RFC 9110, section 13). Without ETag and Last-Modified, each build
    downloads the file again. With a checksum no request is needed to compute the key: the file is
    only downloaded if `downloads` does not have it.
    """

    def __init__(
        self,
        url: str,
        wanted: HttpFile,
        downloads: str,
        scratch: str,
        refs: RefManager,
        requester: Requester,
    ) -> None:
        self._url = url
        self._wanted = wanted
        # BuildKit keeps a separate file, with a separate request, for each name, mode and owner.
        asked = wanted._replace(checksum=None)
        key = url + (f"\0{json.dumps(asked)}" if asked != HttpFile() else "")
        self._path = os.path.join(downloads, digest_of(key.encode()).hex[:32])
        self._part = os.path.join(scratch, f"download-{os.urandom(6).hex()}")
        self._refs = refs
        self._requester = requester
        self._found: Download | None = None

    def cache_map(self, context: OpContext) -> CacheMap:
        wanted = self._wanted
        if wanted.checksum is not None:
            name, digest, modified = self.name(None), str(wanted.checksum), 0
        else:
            found = self._found = self.bring(context.cancel)
            name, digest, modified = self.name(found), found.digest, found.modified_ns
        # BuildKit's key: the name, mode and owner of the file, and when it was changed.
        document = {
            "Filename": name,
            "Perm": wanted.perm,
            "UID": wanted.uid,
            "GID": wanted.gid,
            "Checksum": digest,
            **({"LastModTime": _http_time(modified)} if modified else {}),
            **({"AuthHeaderSecret": wanted.auth_secret} if wanted.auth_secret else {}),
        }
        if wanted.headers:
            document["Header"] = [{"Name": key, "Value": value} for key, value in wanted.headers]
        return CacheMap(source_digest(digest_of(encode(document))), resolved=digest)

    def material(self) -> Material | None:
        digest = self._wanted.checksum or (Digest(self._found.digest) if self._found else None)
        if digest is None:
            return None
        from lamina.sources.material import HttpMaterial

        return HttpMaterial(self._shown(), digest)

    def fetch(self, context: OpContext) -> Ref:
        found = self._found or self.bring(context.cancel)
        wanted = self._wanted
        data = self.data(found)
        plan = FilePlan(None)
        mode = stat.S_IFREG | (wanted.perm & 0o7777 or 0o600)
        size = os.path.getsize(data)
        file = PlannedFile(mode, wanted.uid, wanted.gid, found.modified_ns, size=size, source=data)
        plan.put(self.name(None if wanted.checksum else found), file)
        return self._refs.commit_plan(plan, Ref(), f"http url {self._shown()}")

    def name(self, found: Download | None) -> str:
        """The name of the file: from the definition, else the server, else the URL."""
        from urllib.parse import unquote, urlsplit

        from lamina.sources.http_request import file_name

        path = unquote(urlsplit(self._url).path)
        return file_name(self._wanted.name, found.name if found is not None else "", path)

    def data(self, found: Download) -> str:
        """The path of the content.

        The file is named by its digest. Earlier ones stay until they are pruned, since another
        build may read them.
        """
        return f"{self._path}-{Digest(found.digest).hex[:32]}"

    def bring(self, cancel: Cancellation) -> Download:
        """Fetch the content: that of the server, or of the build's first request.

        Raises NotFound, Unavailable, InvalidInput, Corrupt (it does not match the checksum).
        """
        from lamina.system.network import SocketGuard

        pins = self._requester.pins
        with held(self._path + ".lock", cancel):
            for pin in pins.known(Download, self._path):
                if os.path.exists(self.data(pin)) and self._may_be(pin):
                    return pin
            known = self._known()
            if known is not None and self._is_wanted(known):
                return known
            guard = SocketGuard()
            with guard.cancelled_by(cancel):
                found = self._download(cancel, known, guard)
            with open(self._path + ".new", "w", encoding="utf-8") as file:
                json.dump(found, file)
            os.rename(self._path + ".new", self._path)
            if not self._may_be(found):
                raise Corrupt(
                    f"{self._shown()}: digest mismatch: the content is {found.digest}, "
                    f"not {self._wanted.checksum}",
                    hint="check --checksum, or whether the file has changed",
                )
            pins.keep(self._path, found)
        return found

    def _may_be(self, found: Download) -> bool:
        """Whether the definition allows this content."""
        return self._wanted.checksum is None or self._is_wanted(found)

    def _is_wanted(self, found: Download) -> bool:
        """Whether this content is known to match the definition."""
        checksum = self._wanted.checksum
        if checksum is None:
            return False
        if checksum.algorithm == "sha256":
            return found.digest == checksum
        with open(self.data(found), "rb") as file:
            return hashlib.file_digest(file, checksum.algorithm).hexdigest() == checksum.hex

    def _shown(self) -> str:
        from lamina.base.redact import redacted

        return redacted(self._url)

    def _known(self) -> Download | None:
        """The last download, if its content is unchanged."""
        try:
            with open(self._path, encoding="utf-8") as file:
                known = Download(*json.load(file))
            with open(self.data(known), "rb") as data:
                hashed = hashlib.file_digest(data, "sha256").hexdigest()
        except (OSError, ValueError, TypeError):
            return None
        return known if known.digest == f"sha256:{hashed}" else None

    def _download(
        self, cancel: Cancellation, known: Download | None, guard: SocketGuard
    ) -> Download:
        from lamina.sources.http_request import HttpRequest, answered, content_of, is_same_tag

        wanted = self._wanted
        request = HttpRequest(
            self._url,
            self._requester.session,
            cancel,
            guard=guard,
            headers=wanted.headers,
            auth_secret=wanted.auth_secret,
        )
        conditions = {}
        if known is not None and known.etag:
            conditions["If-None-Match"] = known.etag
        if known is not None and known.last_modified:
            conditions["If-Modified-Since"] = known.last_modified
        if known is not None and known.etag:
            # Some servers send ETags but ignore If-None-Match, so they are compared here first.
            try:
                head = request.send("HEAD", conditions)
            except LaminaError:
                pass
            else:
                if head is None:
                    return known
                with head:
                    if is_same_tag(known.etag, head.headers.get("ETag", "")):
                        return known
        response = request.send(headers=conditions)
        if response is None:
            if known is None:
                raise Unavailable(
                    f"{request.shown}: the server answered 304 to an unconditional request"
                )
            return known
        with response:
            hashed = self._save(content_of(response, request.shown), cancel)
            return self._keep(hashed, answered(response.headers))

    def _save(self, pieces: Iterable[bytes], cancel: Cancellation) -> str:
        """Write a response; returns its SHA-256. An incomplete one is removed."""
        hashed = hashlib.sha256()
        limit = SizeLimit(DOWNLOAD, self._shown())
        try:
            with open(self._part, "wb") as file:
                for piece in pieces:
                    cancel.check()
                    limit.add(len(piece))
                    hashed.update(piece)
                    file.write(piece)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(self._part)
            raise
        return hashed.hexdigest()

    def _keep(self, hashed: str, answer: Answered | None) -> Download:
        found = Download(f"sha256:{hashed}", 0, "", "")
        if answer is not None:
            found = Download(
                found.digest, answer.modified_ns, answer.etag, answer.last_modified, answer.name
            )
        os.rename(self._part, self.data(found))
        return found


class UploadSource(HttpSource):
    """A stream that a client serves under a temporary URL: a context on its standard input.

    It can be read once, and is not kept.
    """

    def _known(self) -> Download | None:
        return None

    def _download(
        self, cancel: Cancellation, known: Download | None, guard: SocketGuard
    ) -> Download:
        host, slash, path = self._url.removeprefix("http://").partition("/")
        hashed = self._save(self._requester.session.upload(host, slash + path, cancel), cancel)
        return self._keep(hashed, None)
