"""Registry credentials that a client provides to a daemon, and tokens that it fetches with them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.booleans import parse_bool

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.api.auth import FetchTokenRequest
    from lamina.client.token_seeds import TokenSeeds
    from lamina.registry.credentials import Credentials, CredentialSource
    from lamina.registry.hosts import Hosts
    from lamina.session.remote_session import Login, Token
    from lamina.system.cancel import Cancellation

_HUB, _HUB_HOST = "docker.io", "registry-1.docker.io"
_READY_LIFE = 60.0
_NO_TOKENS = "BUILDKIT_NO_CLIENT_TOKEN"


class ConfiguredLogins:
    """Implements `lamina.session.services.CredentialsProvider` from Docker's configuration.

    `ConfiguredTokens` provides a bearer token of the configuration.
    """

    def __init__(self, source: CredentialSource) -> None:
        self._source = source

    def __call__(self, host: str, /) -> Login | None:
        from lamina.session.remote_session import Login

        found = _lookup(self._source, host)
        if found is None:
            return None
        if found.identity_token:
            return Login("", found.identity_token)
        return Login(found.username, found.password) if found.username else None


class ConfiguredTokens:
    """Implements `lamina.session.tokens.TokenProvider` from Docker's configuration.

    Tokens are not cached here: a daemon caches them, and requests a new one when a registry rejects
    one. With `BUILDKIT_NO_CLIENT_TOKEN` set, there are none.

    Args:
        hosts: how registries and their token services are reached.
    """

    def __init__(
        self, source: CredentialSource, seeds: TokenSeeds, hosts: Callable[[], Hosts]
    ) -> None:
        self._source = source
        self._seeds = seeds
        self._hosts = hosts

    def seed(self, host: str, /) -> bytes | None:
        """The seed of the client's key. None also for clients without credentials: a daemon can
        fetch anonymous tokens itself."""
        if parse_bool(os.environ.get(_NO_TOKENS, "")):
            return None
        found = _lookup(self._source, host)
        if found is None:
            return None
        # The credentials are included: after a new login, old tokens must not be used.
        login = (part.encode("utf-8", "surrogatepass") for part in found)
        return b"\0".join((self._seeds.of(host), *login))

    def fetch(self, request: FetchTokenRequest, cancel: Cancellation, /) -> Token:
        from lamina.registry.auth import check_realm, fetch_token
        from lamina.registry.credentials import BearerRequest
        from lamina.registry.transport import Transport
        from lamina.registry.url import make_url, parse_url
        from lamina.session.remote_session import Token

        found = _lookup(self._source, request.host)
        if found is not None and found.registry_token:
            return Token(found.registry_token, _READY_LIFE)
        endpoint = self._hosts().endpoints(_domain(request.host))[-1]
        registry = make_url(endpoint.schemes[-1], endpoint.host, "/")
        wanted = BearerRequest(parse_url(request.realm), request.service, " ".join(request.scopes))
        if found is not None:
            check_realm(wanted.realm, registry)
        with Transport() as transport:
            token = fetch_token(transport, registry, wanted, found, endpoint.tls, cancel)
        return Token(token.value, token.life)


def _lookup(source: CredentialSource, host: str) -> Credentials | None:
    return source.lookup(_domain(host))


def _domain(host: str) -> str:
    return _HUB if host == _HUB_HOST else host
