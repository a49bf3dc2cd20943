"""HTTP requests of the http source: headers, credentials, redirects and responses."""

from __future__ import annotations

import re
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

from lamina.base.buildkit_version import USER_AGENT
from lamina.base.errors import InvalidInput, NotFound, Unavailable
from lamina.base.named_tuple import NamedTuple
from lamina.base.redact import redacted
from lamina.system.network import open_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPMessage, HTTPResponse
    from typing import IO, Any

    from lamina.session.contract import Session
    from lamina.system.cancel import Cancellation
    from lamina.system.network import SocketGuard

_TIMEOUT = 60
_UNCHANGED = 304
_GZIP = "gzip"
_CHUNK = 1 << 18


class HttpRequest:
    """A GET of a URL.

    User name and password in the URL are sent as credentials and appear in no message. Otherwise
    the session is asked for the secret `auth_secret`, a complete Authorization header; if that is
    not set, for `HTTP_AUTH_HEADER_<host>` and `HTTP_AUTH_TOKEN_<host>` (a bearer token). `guard`
    watches the connections.

    Raises InvalidInput (not a URL), NotFound (no such secret).
    """

    def __init__(
        self,
        url: str,
        session: Session,
        cancel: Cancellation,
        *,
        guard: SocketGuard,
        headers: tuple[tuple[str, str], ...] = (),
        auth_secret: str = "",
    ) -> None:
        self._guard = guard
        self._cancel = cancel
        self.shown = redacted(url)
        try:
            parts = urllib.parse.urlsplit(url)
            host = parts.hostname or ""
            _ = parts.port
        except ValueError as error:
            raise InvalidInput(f"{self.shown}: {error}") from None
        userinfo, at, place = parts.netloc.rpartition("@")
        self._url = (
            urllib.parse.urlunsplit(parts._replace(netloc=place, fragment="")) if at else url
        )
        # ETags may depend on accepted encodings, so HEAD has the same headers as GET.
        self._headers = {"User-Agent": USER_AGENT, "Accept-Encoding": _GZIP, **dict(headers)}
        self._authorization = (
            _basic(userinfo) if at else _secret(session, cancel, host, auth_secret)
        )

    def send(
        self, method: str = "GET", headers: dict[str, str] | None = None
    ) -> HTTPResponse | None:
        """The response, which the caller closes. None if `headers` are conditional and nothing has
        changed.

        Raises NotFound, Unavailable, InvalidInput.
        """
        import http.client

        try:
            request = urllib.request.Request(
                self._url, headers={**self._headers, **(headers or {})}, method=method
            )
            if self._authorization:
                request.add_unredirected_header("Authorization", self._authorization)
            return open_url(request, _TIMEOUT, self._guard, self._cancel, _Redirects())
        except urllib.error.HTTPError as error:
            with error:
                if error.code == _UNCHANGED and headers:
                    return None
            if error.code == 404:
                raise NotFound(f"{self.shown}: not found (invalid response status 404)") from None
            raise Unavailable(f"{self.shown}: invalid response status {error.code}") from None
        except urllib.error.URLError as error:
            raise Unavailable(f"{self.shown}: {error.reason}") from None
        except ValueError as error:
            raise InvalidInput(f"{self.shown}: {redacted(str(error))}") from None
        except (http.client.HTTPException, OSError) as error:
            raise Unavailable(f"{self.shown}: the response ended early: {error!r}") from None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects only to http and https, and sends credentials only to the same host."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not newurl.startswith(("http://", "https://")):
            raise urllib.error.URLError(f"redirected to {redacted(newurl)}")
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        kept = req.unredirected_hdrs.get("Authorization")
        if following is not None and kept and following.host == req.host:
            following.add_unredirected_header("Authorization", kept)
        return following


class Answered(NamedTuple):
    """The headers of a response that describe the file.

    `modified_ns` is 0 without a time. `name` is the file name in Content-Disposition, "" if none.
    """

    etag: str
    last_modified: str
    modified_ns: int
    name: str


def answered(headers: Any) -> Answered:
    """Read the headers of a response."""
    import email.utils

    stamp = headers.get("Last-Modified", "")
    try:
        # Without a time it is the epoch: the same at every download.
        modified = email.utils.parsedate_to_datetime(stamp).timestamp() if stamp else 0.0
    except ValueError:
        modified = 0.0
    given = (headers.get_filename("") or "") if "Content-Disposition" in headers else ""
    name = "" if given.endswith("/") else _last_part(given)
    return Answered(headers.get("ETag", ""), stamp, int(modified * 1e9), name)


def content_of(answer: HTTPResponse, shown: str) -> Iterator[bytes]:
    """The content of a response, decompressed if the server compressed it for the transfer.

    Raises Unavailable if the response is incomplete. `shown` is the name of the source in messages.
    """
    import gzip
    import http.client
    import zlib

    packed = answer.headers.get("Content-Encoding", "").strip().lower() == _GZIP
    content = gzip.GzipFile(fileobj=answer, mode="rb") if packed else answer
    try:
        while piece := content.read(_CHUNK):
            yield piece
    except (http.client.HTTPException, OSError, EOFError, zlib.error) as error:
        raise Unavailable(f"{shown}: the response ended early: {error!r}") from None
    if answer.length:
        raise Unavailable(f"{shown}: the response ended {answer.length} bytes early")


def is_same_tag(one: str, other: str) -> bool:
    """Whether two ETags identify the same content. Weak ones count, too."""
    return bool(one) and one.removeprefix("W/") == other.removeprefix("W/")


def file_name(*candidates: str) -> str:
    """The first valid file name; `download` if there is none."""
    return next((name for name in map(_last_part, candidates) if name), "download")


def _last_part(path: str) -> str:
    name = re.sub(r"[\x00-\x1f\x7f]", "", path).rstrip("/").rpartition("/")[2]
    return "" if name in (".", "..") else name


def _basic(userinfo: str) -> str:
    from base64 import b64encode

    user, _, password = userinfo.partition(":")
    both = urllib.parse.unquote_to_bytes(user) + b":" + urllib.parse.unquote_to_bytes(password)
    return f"Basic {b64encode(both).decode()}"


def _secret(session: Session, cancel: Cancellation, host: str, auth_secret: str) -> str:
    if auth_secret:
        value = session.secret(auth_secret, cancel)
        if value is None:
            raise NotFound(
                f"failed to retrieve HTTP auth secret {auth_secret}: not found",
                hint=f"pass it: --secret id={auth_secret},src=FILE (or env=VAR)",
            )
        return _header(value)
    for name, prefix in ((f"HTTP_AUTH_TOKEN_{host}", "Bearer "), (f"HTTP_AUTH_HEADER_{host}", "")):
        value = session.secret(name, cancel)
        if value is not None:
            return prefix + _header(value)
    return ""


def _header(value: bytes) -> str:
    return value.decode("latin-1").strip()
