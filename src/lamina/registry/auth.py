"""Authentication at registries: Basic, and bearer tokens (distribution spec's token
authentication)."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from lamina.base.errors import Corrupt, PermissionDenied, Unavailable
from lamina.base.json_document import load_json_object
from lamina.base.named_tuple import NamedTuple
from lamina.registry.credentials import BearerRequest, BearerToken
from lamina.registry.hosts import Tls
from lamina.registry.request import Request
from lamina.registry.url import Url, parse_url
from lamina.system.single_flight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.registry.credentials import Credentials, CredentialSource, TokenSource
    from lamina.registry.transport import Transport
    from lamina.system.cancel import Cancellation

_TOKEN_LIMIT = 1 << 20
_DEFAULT_LIFE = 60.0
_LONGEST_LIFE = 3600.0 * 24 * 366
_SEPARATORS = frozenset(' \t",=')


class Challenge(NamedTuple):
    """A challenge of a server: the scheme in lower case, and its parameters."""

    scheme: str
    parameters: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        return dict(self.parameters).get(name, "")


def parse_challenges(text: str) -> list[Challenge]:
    """Parse a `WWW-Authenticate` header (RFC 9110, 11.6.1). Malformed challenges are left out."""
    found: list[Challenge] = []
    position = 0
    length = len(text)

    def blank(also: str = "") -> None:
        nonlocal position
        while position < length and text[position] in " \t" + also:
            position += 1

    def word() -> str:
        nonlocal position
        start = position
        while position < length and text[position] not in _SEPARATORS:
            position += 1
        return text[start:position]

    while True:
        blank(",")
        if position >= length:
            return found
        name = word()
        if not name:
            position += 1
            continue
        blank()
        if position < length and text[position] == "=" and found:
            position += 1
            blank()
            if position < length and text[position] == '"':
                value, position = _quoted(text, position + 1)
            else:
                value = word()
            last = found[-1]
            found[-1] = last._replace(parameters=(*last.parameters, (name.lower(), value)))
        else:
            found.append(Challenge(name.lower(), ()))


def _quoted(text: str, position: int) -> tuple[str, int]:
    parts = []
    while position < len(text) and text[position] != '"':
        if text[position] == "\\" and position + 1 < len(text):
            position += 1
        parts.append(text[position])
        position += 1
    return "".join(parts), position + 1


class Authorizer:
    """Caches the challenges of origins, and tokens. Thread-safe.

    Args:
        tokens: a source of tokens that takes precedence over the credentials of `source`.
    """

    def __init__(
        self, transport: Transport, source: CredentialSource, tokens: TokenSource | None = None
    ) -> None:
        self._transport = transport
        self._source = source
        self._tokens = tokens
        self._lock = threading.Lock()
        self._headers: dict[tuple[object, ...], tuple[str, float]] = {}
        self._answering: SingleFlight[str] = SingleFlight()

    def header(self, url: Url, scope: str) -> str:
        """The Authorization header for a request, "" if none is known (yet)."""
        with self._lock:
            value, until = self._headers.get((*url.origin, scope), ("", 0.0))
        return value if time.monotonic() < until else ""

    def answer(
        self,
        url: Url,
        challenges: Sequence[str],
        scope: str,
        domain: str,
        tls: Tls,
        cancel: Cancellation,
        sent: str,
    ) -> str:
        """Answer the challenge of a 401 from `url`. `sent` is the rejected Authorization header.

        Raises PermissionDenied, Unavailable.
        """

        def answer() -> str:
            # Concurrent requests are rejected together; the token of the first one serves all.
            known = self.header(url, scope)
            if known and known != sent:
                return known
            return self._answer(url, challenges, scope, domain, tls, cancel)

        return self._answering.run((*url.origin, scope, sent), answer, cancel)

    def _answer(
        self,
        url: Url,
        challenges: Sequence[str],
        scope: str,
        domain: str,
        tls: Tls,
        cancel: Cancellation,
    ) -> str:
        offered = [c for text in challenges for c in parse_challenges(text)]
        for challenge in offered:
            if challenge.scheme == "bearer":
                wanted = BearerRequest(
                    parse_url(challenge.get("realm"), url),
                    challenge.get("service"),
                    challenge.get("scope") or scope,
                )
                token = self._token(wanted, url, domain, tls, cancel)
                # Not used shortly before its end, so that it is still valid when it arrives.
                value, life = "Bearer " + token.value, max(token.life * 0.9 - 2.0, 5.0)
                break
            if challenge.scheme == "basic":
                credentials = self._source.lookup(domain)
                if credentials is not None and credentials.username:
                    value, life = basic(credentials), float("inf")
                    break
        else:
            raise denied(domain, "it requires credentials")
        with self._lock:
            self._headers[(*url.origin, scope)] = (value, time.monotonic() + life)
        return value

    def _token(
        self, wanted: BearerRequest, url: Url, domain: str, tls: Tls, cancel: Cancellation
    ) -> BearerToken:
        if self._tokens is not None and not _downgrades(wanted.realm, url):
            fetched = self._tokens.token(domain, wanted, cancel)
            if fetched is not None:
                return fetched
        credentials = self._source.lookup(domain)
        if credentials is not None:
            if credentials.registry_token:
                return BearerToken(credentials.registry_token, float("inf"))
            check_realm(wanted.realm, url)
        return fetch_token(self._transport, url, wanted, credentials, tls, cancel)


def check_realm(realm: Url, registry: Url) -> None:
    """Raise PermissionDenied if credentials would be sent unencrypted, but the registry uses
    TLS."""
    if _downgrades(realm, registry):
        host = registry.authority
        raise PermissionDenied(
            f"{host} requests the credentials at {realm} without encryption; they were not sent",
            hint=f'if it speaks plain HTTP, configure [registry."{host}"] http = true',
        )


def _downgrades(realm: Url, registry: Url) -> bool:
    return realm.scheme == "http" and registry.scheme == "https"


def fetch_token(
    transport: Transport,
    registry: Url,
    wanted: BearerRequest,
    credentials: Credentials | None,
    tls: Tls,
    cancel: Cancellation,
) -> BearerToken:
    """Request a token from a registry's token service. `tls` is the registry's.

    On another host, a CA of the registry is trusted for the service as well. But the client's
    certificate is not sent there, and the certificate of the service is always verified.

    Raises PermissionDenied, Unavailable, Corrupt, Cancelled.
    """
    realm = wanted.realm
    tls = tls if realm.host == registry.host else Tls(tls.ca)
    request = token_request(realm, wanted.service, wanted.scope, credentials, tls)
    with transport.send(request, cancel) as response:
        data = response.read_all(_TOKEN_LIMIT)
        status = response.status
    if status in (400, 401, 403, 404):
        refusal = denied(registry.authority, f"its token service {realm.authority} refused")
        if credentials is not None:
            refusal = refusal.with_context(
                reason=f"{refusal.reason} the credentials",
                hint=f"if they are out of date, run `lamina login {registry.authority}` again",
            )
        raise refusal
    if status != 200:
        raise Unavailable(f"the token service {realm.authority} answered {status}")
    document = load_json_object(data, f"response of the token service {realm.authority}")
    return _read_token(document, realm)


def _read_token(document: dict[str, Any], realm: Url) -> BearerToken:
    token = document.get("token") or document.get("access_token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise Corrupt(f"the token service {realm.authority} returned no token")
    try:
        life = float(document.get("expires_in") or _DEFAULT_LIFE)
    except (TypeError, ValueError):
        life = _DEFAULT_LIFE
    return BearerToken(token, life if 0 < life < _LONGEST_LIFE else _DEFAULT_LIFE)


def token_request(
    realm: Url, service: str, scope: str, credentials: Credentials | None, tls: Tls
) -> Request:
    """GET for anonymous and password, POST (OAuth 2 refresh) for an identity token."""
    from urllib.parse import urlencode

    parameters = [(k, v) for k, v in (("service", service), *_scopes(scope)) if v]
    if credentials is not None and credentials.identity_token:
        form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", credentials.identity_token),
            ("client_id", "lamina"),
            *((k, v) for k, v in (("service", service), ("scope", scope)) if v),
        ]
        body = urlencode(form).encode()
        kind = (("Content-Type", "application/x-www-form-urlencoded"),)
        return Request("POST", realm, kind, lambda: (body,), len(body), tls)
    headers: tuple[tuple[str, str], ...] = ()
    if credentials is not None and credentials.username:
        parameters.append(("account", credentials.username))
        headers = (("Authorization", basic(credentials)),)
    joint = "&" if "?" in realm.target else "?"
    target = realm.target + (joint + urlencode(parameters) if parameters else "")
    return Request("GET", realm._replace(target=target), headers, tls=tls)


def _scopes(scope: str) -> list[tuple[str, str]]:
    return [("scope", part) for part in scope.split()]


def basic(credentials: Credentials) -> str:
    from base64 import b64encode

    pair = f"{credentials.username}:{credentials.password}"
    return "Basic " + b64encode(pair.encode()).decode()


def denied(domain: str, why: str) -> PermissionDenied:
    return PermissionDenied(
        f"{domain} denied access: {why}",
        hint=f"check the name; for a private image, run `lamina login {domain}` first",
    )
