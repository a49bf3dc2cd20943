"""Credentials for registries from a client's session, or better: tokens that it fetches."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from lamina.base.errors import Corrupt, PermissionDenied, Unavailable
from lamina.registry.credentials import Anonymous, BearerToken, Credentials

if TYPE_CHECKING:
    from lamina.api.auth import FetchTokenRequest
    from lamina.registry.credentials import BearerRequest, SessionLogins
    from lamina.session.contract import Session
    from lamina.session.remote_session import Login, Token
    from lamina.system.cancel import Cancellation

_HUB, _HUB_HOST = "docker.io", "registry-1.docker.io"
_CLIENT_ID = "buildkit-client"


class CredentialSession(Protocol):
    """A session, as far as logins go. `RemoteSession` is one."""

    def login(self, host: str) -> Login | None: ...

    def token_authority(self, host: str, salt: bytes) -> bytes | None: ...

    def token(self, request: FetchTokenRequest, cancel: Cancellation) -> Token | None: ...


def session_logins(session: Session) -> SessionLogins:
    """The credentials of a session's client, none if it provides none."""
    from lamina.session.remote_session import RemoteSession

    return SessionCredentials(session) if isinstance(session, RemoteSession) else Anonymous()


class SessionCredentials:
    """Implements `lamina.registry.credentials.Logins`. Asks anew each time: the client decides,
    and may have something to say about it."""

    def __init__(self, session: CredentialSession) -> None:
        self._session = session
        # Tokens are kept for one session alone, so no key has to be known again.
        self._salt = os.urandom(32)

    def lookup(self, domain: str) -> Credentials | None:
        """None: go anonymously. Raises PermissionDenied, Unavailable (the client has gone)."""
        login = self._session.login(_host(domain))
        if login is None:
            return None
        if not login.username:
            return Credentials(identity_token=login.secret)
        return Credentials(login.username, login.secret)

    def token(self, domain: str, wanted: BearerRequest, cancel: Cancellation) -> BearerToken | None:
        """None as well for a client without a login: what anybody gets, it need not fetch, and
        another one that waits for the same may have one."""
        host = _host(domain)
        return self._fetch(host, wanted, cancel) if self._shows_key(host) else None

    def spare_token(
        self, domain: str, wanted: BearerRequest, cancel: Cancellation
    ) -> BearerToken | None:
        """Of a client that shows the key of all without a login: a ready token (`registrytoken`
        of Docker's configuration) is none to buildx and buildctl, but they give it when asked."""
        host = _host(domain)
        if self._shows_key(host) is not False:
            return None
        try:
            return self._fetch(host, wanted, cancel)
        except (PermissionDenied, Unavailable, Corrupt):
            return None  # what anybody gets can be had without it

    def _shows_key(self, host: str) -> bool | None:
        """Whether the client proves a login: False if it shows nobody's key, None if none."""
        from lamina.session.tokens import is_anonymous_key

        key = self._session.token_authority(host, self._salt)
        return None if key is None else not is_anonymous_key(key, self._salt)

    def _fetch(self, host: str, wanted: BearerRequest, cancel: Cancellation) -> BearerToken | None:
        from lamina.api.auth import FetchTokenRequest

        request = FetchTokenRequest(
            _CLIENT_ID, host, str(wanted.realm), wanted.service, tuple(wanted.scope.split())
        )
        token = self._session.token(request, cancel)
        return None if token is None else BearerToken(token.value, token.life)


def _host(domain: str) -> str:
    return _HUB_HOST if domain == _HUB else domain
