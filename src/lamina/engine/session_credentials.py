"""Credentials for registries from a client's session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lamina.registry.credentials import Anonymous, Credentials

if TYPE_CHECKING:
    from lamina.registry.credentials import CredentialSource
    from lamina.session.borrowed import Login
    from lamina.session.contract import Session

_HUB, _HUB_HOST = "docker.io", "registry-1.docker.io"


class Lender(Protocol):
    """A session, as far as logins go. `BorrowedSession` is one."""

    def login(self, host: str) -> Login | None: ...


def session_logins(session: Session) -> CredentialSource:
    """The logins of a session's client: none if it is not one that lends any."""
    from lamina.session.borrowed import BorrowedSession

    return SessionCredentials(session) if isinstance(session, BorrowedSession) else Anonymous()


class SessionCredentials:
    """Implements `lamina.registry.credentials.CredentialSource`. Asks anew each time: the
    client decides, and may have something to say about it."""

    def __init__(self, session: Lender) -> None:
        self._session = session

    def lookup(self, domain: str) -> Credentials | None:
        """None: go anonymously. Raises PermissionDenied, Unavailable (the client has gone)."""
        login = self._session.login(_HUB_HOST if domain == _HUB else domain)
        if login is None:
            return None
        if not login.username:
            return Credentials(identity_token=login.secret)
        return Credentials(login.username, login.secret)
