"""The checks of each request, and the headers of each answer.

A request must name the server as its host (a name that an attacker points to this machine is
refused), come from the page itself if it comes from a page, and have a session. A token starts a
session; a cookie that scripts cannot read and that other sites cannot send continues it.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse

from lamina.base.named_tuple import NamedTuple
from lamina.ui.documents import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SAFE = ("GET", "HEAD")
_SESSIONS = 1000
_LOGIN = "Open the address with the token that `lamina ui` or the daemon's log shows."


class Access(Protocol):
    """Decides who may start a session."""

    def accepts(self, token: str) -> bool: ...


class OneTimeTokens:
    """Implements `Access`: each token starts one session, and then there is another token.

    Args:
        issued: called with each token, when it becomes valid.
    """

    def __init__(self, issued: Callable[[str], object]) -> None:
        self._issued = issued
        self._lock = threading.Lock()
        self._token = secrets.token_urlsafe(32)
        issued(self._token)

    def accepts(self, token: str) -> bool:
        with self._lock:
            if not _equal(token, self._token):
                return False
            self._token = secrets.token_urlsafe(32)
        self._issued(self._token)
        return True


class FixedToken(NamedTuple):
    """Implements `Access`: the token can be used at any time, also as `Authorization: Bearer`."""

    token: str

    def accepts(self, token: str) -> bool:
        return _equal(token, self.token)


class ClientCertificates(NamedTuple):
    """Implements `Access` for connections whose client certificates TLS has checked: all requests
    are accepted."""

    def accepts(self, token: str) -> bool:
        return True


class Site(NamedTuple):
    """The address of the UI. `hosts` are the values of `Host` that are accepted, in lower case;
    empty: all, because TLS checks the name of the server."""

    hosts: frozenset[str]
    secure: bool
    port: int

    @property
    def cookie(self) -> str:
        """The name of the cookie: browsers send cookies to all ports of a host."""
        return f"__Host-lamina-{self.port}" if self.secure else f"lamina-{self.port}"


class Guard:
    """ASGI middleware that checks requests."""

    def __init__(self, app: ASGIApp, site: Site, access: Access) -> None:
        self._app = app
        self._site = site
        self._access = access
        self._sessions: dict[str, None] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._checked(scope) or self._app
        await answer(scope, receive, send_with_headers)

    def _checked(self, scope: Scope) -> Response | None:
        """The answer to a request that is not passed on; None if it is."""
        headers = Headers(scope=scope)
        if not self._is_own(headers, scope["method"]):
            return _refused(scope, "the request is not for this host, or is from another site")
        tokens = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if scope["path"] == "/" and scope["method"] == "GET" and tokens:
            if self._access.accepts(tokens[0]):
                return self._session()
            return _refused(scope, f"The token is not valid: it was used before. {_LOGIN}")
        if self._has_session(headers):
            return None
        return _refused(scope, f"There is no session. {_LOGIN}")

    def _is_own(self, headers: Headers, method: str) -> bool:
        """Whether a request is for this host, and from its own page if it is from a page."""
        host = headers.get("host", "").lower()
        if len(headers.getlist("host")) != 1 or (self._site.hosts and host not in self._site.hosts):
            return False
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and method not in _SAFE:
            return False
        origin = headers.get("origin")
        if origin is None:
            return method in _SAFE or "authorization" in headers
        return origin.lower() == f"{'https' if self._site.secure else 'http'}://{host}"

    def _has_session(self, headers: Headers) -> bool:
        if isinstance(self._access, ClientCertificates):
            return True
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if isinstance(self._access, FixedToken) and scheme.lower() == "bearer":
            return self._access.accepts(token)
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", ""))
        except CookieError:
            return False
        cookie = cookies.get(self._site.cookie)
        return cookie is not None and cookie.value in self._sessions

    def _session(self) -> Response:
        session = secrets.token_urlsafe(32)
        self._sessions[session] = None
        while len(self._sessions) > _SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        answer = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        answer.set_cookie(
            self._site.cookie, session, httponly=True, samesite="strict", secure=self._site.secure
        )
        return answer


def _refused(scope: Scope, reason: str) -> Response:
    if scope["path"].startswith("/api/"):
        return JSONResponse(Problem(error=reason, hint=""), HTTPStatus.FORBIDDEN)
    return PlainTextResponse(f"{reason}\n", HTTPStatus.FORBIDDEN)


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())
