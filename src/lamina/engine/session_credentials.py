"""Registry credentials from a client's session, or tokens that the client fetches."""

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
    """The part of a session that provides credentials. Implemented by `RemoteSession`."""

    def login(self, host: str) -> Login | None: ...

    def token_authority(self, host: str, salt: bytes) -> bytes | None: ...

    def token(self, request: FetchTokenRequest, cancel: Cancellation) -> Token | None: ...


def session_logins(session: Session) -> SessionLogins:
    """The credentials of a session's client, none if it provides none."""
    from lamina.session.remote_session import RemoteSession

    return SessionCredentials(session) if isinstance(session, RemoteSession) else Anonymous()


class SessionCredentials:
    """Implements `lamina.registry.credentials.Logins`.

    Nothing is cached: the client decides on each request, and may report an error.
    """

    def __init__(self, session: CredentialSession) -> None:
        self._session = session
        # Tokens are kept per session, so the salt need not be the same in another one.
        self._salt = os.urandom(32)

    def lookup(self, domain: str) -> Credentials | None:
        """The credentials. None: use no credentials. Raises PermissionDenied, Unavailable (the
        client is gone)."""
        login = self._session.login(_host(domain))
        if login is None:
            return None
        if not login.username:
            return Credentials(identity_token=login.secret)
        return Credentials(login.username, login.secret)

    def token(self, domain: str, wanted: BearerRequest, cancel: Cancellation) -> BearerToken | None:
        """A token that the client fetches.

        None for a client without credentials: everyone gets an anonymous token, and another client
        that waits for the same step may have credentials.
        """
        host = _host(domain)
        return self._fetch(host, wanted, cancel) if self._shows_key(host) else None

    def spare_token(
        self, domain: str, wanted: BearerRequest, cancel: Cancellation
    ) -> BearerToken | None:
        """A token of a client that shows the key of anonymous clients.

        buildx and buildctl do so if Docker's configuration has a ready token (`registrytoken`), but
        return it on request.
        """
        host = _host(domain)
        if self._shows_key(host) is not False:
            return None
        try:
            return self._fetch(host, wanted, cancel)
        except (PermissionDenied, Unavailable, Corrupt):
            return None  # without it the request is anonymous

    def _shows_key(self, host: str) -> bool | None:
        """Whether the client proves credentials. False: it shows the anonymous key; None: no
        key."""
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
