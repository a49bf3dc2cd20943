"""What a client tells a daemon of its registry credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.registry.credentials import CredentialSource
    from lamina.session.borrowed import Login

_HUB, _HUB_HOST = "docker.io", "registry-1.docker.io"


class ConfiguredLogins:
    """Implements `lamina.session.lent.Logins` from Docker's configuration (or another source).

    A ready bearer token cannot be lent: the protocol has no place for it.
    """

    def __init__(self, source: CredentialSource) -> None:
        self._source = source

    def __call__(self, host: str, /) -> Login | None:
        from lamina.session.borrowed import Login

        found = self._source.lookup(_HUB if host == _HUB_HOST else host)
        if found is None:
            return None
        if found.identity_token:
            return Login("", found.identity_token)
        return Login(found.username, found.password) if found.username else None
