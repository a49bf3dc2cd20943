"""`moby.filesync.v1.Auth`: a client's registry credentials, or tokens that it fetches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.wire.fields import data, integer, string, strings

if TYPE_CHECKING:
    from lamina.wire.protobuf import Schema

SERVICE = "moby.filesync.v1.Auth"
CREDENTIALS = f"/{SERVICE}/Credentials"
FETCH_TOKEN = f"/{SERVICE}/FetchToken"
GET_TOKEN_AUTHORITY = f"/{SERVICE}/GetTokenAuthority"
VERIFY_TOKEN_AUTHORITY = f"/{SERVICE}/VerifyTokenAuthority"


class CredentialsRequest(NamedTuple):
    """A request for credentials. `host` is the key in Docker's configuration."""

    host: str = ""


class CredentialsResponse(NamedTuple):
    """Without a `username` the `secret` is an identity token (OAuth2's refresh token)."""

    username: str = ""
    secret: str = ""


class FetchTokenRequest(NamedTuple):
    client_id: str = ""
    host: str = ""
    realm: str = ""
    service: str = ""
    scopes: tuple[str, ...] = ()


class FetchTokenResponse(NamedTuple):
    """`expires_in` in seconds (0: 60 of them), from `issued_at`, seconds since 1970."""

    token: str = ""
    expires_in: int = 0
    issued_at: int = 0


class GetTokenAuthorityRequest(NamedTuple):
    host: str = ""
    salt: bytes = b""


class GetTokenAuthorityResponse(NamedTuple):
    """An Ed25519 key of 32 bytes that only this client, for this host and salt, has."""

    public_key: bytes = b""


class VerifyTokenAuthorityRequest(NamedTuple):
    host: str = ""
    payload: bytes = b""
    salt: bytes = b""


class VerifyTokenAuthorityResponse(NamedTuple):
    """NaCl's `sign` format: the signature's 64 bytes, then the payload."""

    signed: bytes = b""


SCHEMA: Schema = {
    CredentialsRequest: (string(1, "host"),),
    CredentialsResponse: (string(1, "username"), string(2, "secret")),
    FetchTokenRequest: (
        string(1, "client_id"),
        string(2, "host"),
        string(3, "realm"),
        string(4, "service"),
        strings(5, "scopes"),
    ),
    FetchTokenResponse: (string(1, "token"), integer(2, "expires_in"), integer(3, "issued_at")),
    GetTokenAuthorityRequest: (string(1, "host"), data(2, "salt")),
    GetTokenAuthorityResponse: (data(1, "public_key"),),
    VerifyTokenAuthorityRequest: (string(1, "host"), data(2, "payload"), data(3, "salt")),
    VerifyTokenAuthorityResponse: (data(1, "signed"),),
}
