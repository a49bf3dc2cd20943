"""An HTTP connection, direct or through the proxy of the environment."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.registry.hosts import is_local
from lamina.system.network import SocketGuard, make_abortable

if TYPE_CHECKING:
    import ssl
    from http.client import HTTPConnection, HTTPResponse

    from lamina.registry.hosts import Tls
    from lamina.registry.request import Request
    from lamina.registry.url import Url
    from lamina.system.cancel import Cancellation

_contexts: dict[Tls, ssl.SSLContext] = {}


class Connection:
    """Sends requests one after the other. `abort` may be called from any thread."""

    def __init__(
        self, raw: HTTPConnection, guard: SocketGuard, proxied: bool, proxy_auth: str
    ) -> None:
        self._raw = raw
        self._guard = guard
        self._proxied = proxied
        self._proxy_auth = proxy_auth

    def exchange(self, request: Request) -> HTTPResponse:
        """Send one request. Returns its response, whose body is not read yet."""
        raw = self._raw
        target = str(request.url) if self._proxied else request.url.target
        raw.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
        raw.putheader("Host", request.url.authority)
        raw.putheader("User-Agent", "lamina")
        # A compressed body would not match its digest.
        raw.putheader("Accept-Encoding", "identity")
        if self._proxied and self._proxy_auth:
            raw.putheader("Proxy-Authorization", self._proxy_auth)
        for name, value in request.headers:
            raw.putheader(name, value)
        if request.body is not None or request.method in ("POST", "PUT", "PATCH"):
            raw.putheader("Content-Length", str(request.length))
        raw.endheaders()
        if request.body is not None:
            for chunk in request.body():
                raw.send(chunk)
        return raw.getresponse()

    def quiet(self) -> bool:
        """Whether an idle connection is usable: it is open, and no data has arrived."""
        sock = self._raw.sock
        if sock is None:
            return False
        poller = select.poll()
        poller.register(sock, select.POLLIN | select.POLLHUP | select.POLLERR)
        return not poller.poll(0)

    def abort(self) -> None:
        """Abort a blocked call of another thread, which then fails."""
        self._guard.abort()

    def close(self) -> None:
        self._raw.close()
        self._guard.close()


def connect(
    url: Url, tls: Tls, connect_timeout: float, read_timeout: float, cancel: Cancellation
) -> Connection:
    """Open a connection to the origin of `url`.

    Raises OSError, HTTPException, InvalidInput, Cancelled.
    """
    from http.client import HTTPConnection, HTTPSConnection

    proxy = _proxy_for(url)
    host, port, proxy_auth = (url.host, url.port, "") if proxy is None else proxy
    raw: HTTPConnection
    if url.scheme == "https":
        raw = HTTPSConnection(host, port, timeout=connect_timeout, context=_context(tls))
        if proxy is not None:
            headers = {"Proxy-Authorization": proxy_auth} if proxy_auth else {}
            raw.set_tunnel(url.host, url.port, headers)
    else:
        raw = HTTPConnection(host, port, timeout=connect_timeout)
    guard = SocketGuard()
    make_abortable(raw, guard, cancel)
    connection = Connection(raw, guard, proxy is not None and url.scheme == "http", proxy_auth)
    with cancel.calling(connection.abort):
        try:
            raw.connect()
        except BaseException:
            connection.close()
            raise
    raw.sock.settimeout(read_timeout)
    return connection


def _context(tls: Tls) -> ssl.SSLContext:
    found = _contexts.get(tls)
    if found is not None:
        return found
    import ssl

    context = ssl.create_default_context()
    try:
        for path in tls.ca:
            context.load_verify_locations(path)
        for certificate, key in tls.keypairs:
            context.load_cert_chain(certificate, key)
    except OSError as error:
        files = ", ".join((*tls.ca, *(name for pair in tls.keypairs for name in pair)))
        raise InvalidInput(f"cannot use the TLS files {files}: {error}") from error
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _contexts[tls] = context
    return context


def _proxy_for(url: Url) -> tuple[str, int, str] | None:
    """The (host, port, Proxy-Authorization) of HTTPS_PROXY, HTTP_PROXY and NO_PROXY, if any."""
    names = [f"{url.scheme}_proxy", f"{url.scheme.upper()}_PROXY"]
    text = next((os.environ[name] for name in names if os.environ.get(name)), "")
    if not text or is_local(url.host) or url.host == "::1":
        return None
    from urllib.parse import unquote, urlsplit
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # the stubs leave it out

    if proxy_bypass_environment(f"{url.host}:{url.port}"):
        return None
    parts = urlsplit(text if "://" in text else "http://" + text)
    if parts.scheme != "http" or not parts.hostname:
        raise InvalidInput(
            f"the proxy {parts.scheme}://{parts.hostname or ''} is not a plain HTTP proxy",
            hint=f"{names[1]} looks like http://host:port",
        )
    auth = ""
    if parts.username is not None:
        from base64 import b64encode

        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        auth = "Basic " + b64encode(pair.encode()).decode()
    return parts.hostname, parts.port or 80, auth
