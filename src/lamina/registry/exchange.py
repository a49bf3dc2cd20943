"""One request to a registry's endpoint, including its scheme, authentication and redirects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt, LaminaError, NotFound, Unavailable
from lamina.base.named_tuple import NamedTuple
from lamina.registry.auth import Authorizer, denied
from lamina.registry.hosts import Tls
from lamina.registry.request import Request
from lamina.registry.transport import Response, Transport, retry_seconds
from lamina.registry.url import Url, make_url, parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lamina.base.reference import Reference
    from lamina.registry.credentials import CredentialSource, TokenSource
    from lamina.registry.hosts import Endpoint
    from lamina.system.cancel import Cancellation

_REDIRECTS = frozenset((301, 302, 303, 307, 308))


class Busy(Unavailable):
    """The registry requests a pause of so many `seconds`."""

    def __init__(self, reason: str, *, seconds: float, hint: str = "") -> None:
        super().__init__(reason, hint=hint)
        self.seconds = seconds


class Call(NamedTuple):
    """A request to an endpoint.

    `path` follows the endpoint's prefix, or is the whole URL of an upload. `actions` is the scope
    of the token: `pull`, `pull,push`; `also` is the path of another repository that it must permit
    to pull. `body` and `length` are those of the request. A request with `once` is not repeated
    when the connection breaks.
    """

    method: str
    endpoint: Endpoint
    reference: Reference
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    actions: str = "pull"
    body: Callable[[], Iterable[bytes]] | None = None
    length: int = 0
    once: bool = False
    also: str = ""

    @property
    def scope(self) -> str:
        """The scope of a token for the request; "" if it names no repository."""
        if not self.reference.path:
            return ""
        scope = f"repository:{self.reference.path}:{self.actions}"
        return f"{scope} repository:{self.also}:pull" if self.also else scope


class Exchange:
    """Caches the working scheme of each host, and credentials. Thread-safe."""

    def __init__(
        self,
        transport: Transport,
        credentials: CredentialSource,
        tokens: TokenSource | None = None,
    ) -> None:
        self._transport = transport
        self._auth = Authorizer(transport, credentials, tokens)
        self._schemes: dict[str, str] = {}

    def ask(self, call: Call, cancel: Cancellation) -> Response:
        """Send a request with the first scheme that works. Returns any response except 401.

        Raises PermissionDenied, Unavailable, InvalidInput, Cancelled.
        """
        endpoint = call.endpoint
        if "://" in call.path:
            return self._follow(call, parse_url(call.path), cancel)
        known = self._schemes.get(endpoint.host)
        schemes = (known,) if known else endpoint.schemes
        target = endpoint.prefix + call.path
        if endpoint.mirror:
            target += f"?ns={call.reference.domain}"
        for scheme in schemes[:-1]:
            try:
                response = self._follow(call, make_url(scheme, endpoint.host, target), cancel)
            except Unavailable as error:
                if not _speaks_plain(error):
                    raise
            else:
                self._schemes[endpoint.host] = scheme
                return response
        response = self._follow(call, make_url(schemes[-1], endpoint.host, target), cancel)
        self._schemes[endpoint.host] = schemes[-1]
        return response

    def _follow(self, call: Call, url: Url, cancel: Cancellation) -> Response:
        """Send a request, authenticate if required, and follow redirects.

        Authorization is only sent to the endpoint's own origin.
        """
        endpoint = call.endpoint
        origin = url.origin
        own = make_url(url.scheme, endpoint.host, "/").origin
        scope = call.scope
        domain = endpoint.host if endpoint.mirror else call.reference.domain
        authorization = self._auth.header(url, scope)
        tried = False
        for _ in range(12):
            mine = url.origin == origin == own
            sent = (("Authorization", authorization),) if authorization and mine else ()
            tls = endpoint.tls if url.host == own[1] else Tls()
            headers = (*call.headers, *sent)
            response = self._transport.send(
                Request(call.method, url, headers, call.body, call.length, tls, call.once), cancel
            )
            if response.status in _REDIRECTS and response.header("Location"):
                location = response.header("Location")
                response.close()
                url = parse_url(location, url)
            elif response.status == 401 and mine:
                challenges = response.headers("WWW-Authenticate")
                _drain(response)
                if tried:
                    raise denied(domain, f"no access to {call.reference.path or 'it'}")
                tried = True
                authorization = self._auth.answer(
                    url, challenges, scope, domain, endpoint.tls, cancel, authorization
                )
            else:
                return response
        raise Unavailable(f"{endpoint.host} redirects too many times")


def _drain(response: Response) -> None:
    """Read a small body, so that the connection can be reused."""
    try:
        response.read_all(1 << 16)
    except (Corrupt, Unavailable):
        response.close()


def _speaks_plain(error: Unavailable) -> bool:
    import ssl

    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return False
    return isinstance(cause, (ssl.SSLError, ConnectionRefusedError, ConnectionResetError))


def refusal(response: Response, what: str) -> LaminaError:
    """Convert an HTTP status to an error, with the registry's message if there is one (spec, "Error
    Codes")."""
    host, status = response.url.authority, response.status
    words = _words(response)
    said = f": {words}" if words else ""
    if status == 404:
        return NotFound(
            f"{what} does not exist on {host}{said}", hint="check the name, the tag and the digest"
        )
    if status in (401, 403):
        return denied(host, words or f"status {status} for {what}")
    if status == 429:
        seconds = retry_seconds(response)
        wait = f" for {seconds:.0f} s" if seconds is not None else ""
        return Busy(
            f"{host} limits the rate of requests{wait}{said}",
            seconds=seconds or 0.0,
            hint="wait, log in with `lamina login`, or configure a mirror",
        )
    if status == 400 and "HTTPS server" in words:
        return Unavailable(
            f"{host} only supports HTTPS",
            hint=f'configure [registry."{host}"] http = false',
        )
    if status == 503 and (seconds := retry_seconds(response)) is not None:
        return Busy(f"{host} is busy for {seconds:.0f} s{said}", seconds=seconds)
    if status >= 500:
        return Unavailable(f"{host} failed with status {status} for {what}{said}")
    return Unavailable(f"{host} answered {status} for {what}{said}")


def _words(response: Response) -> str:
    import json

    try:
        data = response.read_all(1 << 16)
    except (Corrupt, Unavailable):
        return ""
    try:
        errors = json.loads(data)["errors"]
        text = "; ".join(str(e.get("message") or e.get("code")) for e in errors)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        text = data.decode(errors="replace").strip()
        if text.startswith("<"):
            return ""
    return "".join(c if c.isprintable() else " " for c in text)[:300]
