"""Registry tokens that a client fetches, so that its passwords stay with it.

The client shows the daemon a key (Ed25519) for each registry for which it has credentials. A client
that proves the same key again may use earlier tokens. Keys are derived from the daemon's salt and a
secret of the client, so different daemons get different keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lamina.api import auth
from lamina.api.message import text_request_of
from lamina.base.errors import LaminaError
from lamina.wire.contract import Code, StatusError
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from lamina.session.remote_session import Token
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Handler, ServerCall


class TokenProvider(Protocol):
    """Fetches tokens with the credentials of the client."""

    def seed(self, host: str, /) -> bytes | None:
        """A secret that changes only with the credentials; None if the provider fetches no
        tokens."""

    def fetch(self, request: auth.FetchTokenRequest, cancel: Cancellation, /) -> Token:
        """Raises PermissionDenied, Unavailable, InvalidInput, Corrupt, Cancelled."""


def token_service(tokens: TokenProvider) -> dict[str, Handler]:
    """The service for tokens, in addition to `services.credentials_service`."""
    service = _TokenService(tokens)
    return {
        auth.GET_TOKEN_AUTHORITY: service.authority,
        auth.VERIFY_TOKEN_AUTHORITY: service.verify,
        auth.FETCH_TOKEN: service.fetch,
    }


def is_anonymous_key(key: bytes, salt: bytes) -> bool:
    """Whether a key is the one of all clients without credentials (also of buildx and buildctl)."""
    from lamina.session.ed25519 import public_key

    return key == public_key(_key(salt, b""))


class _TokenService:
    def __init__(self, tokens: TokenProvider) -> None:
        self._tokens = tokens

    def authority(self, call: ServerCall) -> None:
        from lamina.session.ed25519 import public_key

        request = text_request_of(call, auth.GetTokenAuthorityRequest, auth.SCHEMA)
        key = public_key(self._key(request.host, request.salt))
        call.send(encode(auth.GetTokenAuthorityResponse(key), auth.SCHEMA))

    def verify(self, call: ServerCall) -> None:
        from lamina.session.ed25519 import sign

        request = text_request_of(call, auth.VerifyTokenAuthorityRequest, auth.SCHEMA)
        signature = sign(self._key(request.host, request.salt), request.payload)
        response = auth.VerifyTokenAuthorityResponse(signature + request.payload)
        call.send(encode(response, auth.SCHEMA))

    def fetch(self, call: ServerCall) -> None:
        request = text_request_of(call, auth.FetchTokenRequest, auth.SCHEMA)
        try:
            token = self._tokens.fetch(request, call.cancel)
        except LaminaError as error:
            if not error.hint:
                raise
            # Only the reason is sent, because only the client's user can act on it.
            raise error.with_context(reason=f"{error.reason} ({error.hint})") from error
        # Issued now, independent of clock differences.
        response = auth.FetchTokenResponse(token.value, max(1, int(token.life)))
        call.send(encode(response, auth.SCHEMA))

    def _key(self, host: str, salt: bytes) -> bytes:
        seed = self._tokens.seed(host)
        if seed is None:
            # With this code, a daemon continues with `Credentials`.
            raise StatusError(Code.UNAVAILABLE, f"the client fetches no tokens for {host}")
        return _key(salt, seed)


def _key(salt: bytes, seed: bytes) -> bytes:
    import hmac

    return hmac.digest(salt, seed, "sha256")
