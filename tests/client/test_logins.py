"""Registry credentials lent by a client and borrowed by an engine, both translations in turn."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lamina.client.logins import ConfiguredLogins
from lamina.engine.session_credentials import SessionCredentials
from lamina.registry.credentials import Credentials, DockerConfig

if TYPE_CHECKING:
    from pathlib import Path

    from lamina.session.borrowed import Login


class Lent:
    """A session between the two, without a connection."""

    def __init__(self, logins: ConfiguredLogins) -> None:
        self._logins = logins

    def login(self, host: str) -> Login | None:
        return self._logins(host)


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("docker.io", Credentials("me", "pass")),
        ("ghcr.io", Credentials(identity_token="identity")),
        ("host:5000", Credentials("you", "p:w")),
        ("ready.example", None),
        ("other.example", None),
    ],
)
def test_credentials_arrive_as_they_are_configured(
    tmp_path: Path, domain: str, expected: Credentials | None
) -> None:
    path = tmp_path / "config.json"
    auths = {
        "https://index.docker.io/v1/": {"username": "me", "password": "pass"},
        "ghcr.io": {"identitytoken": "identity"},
        "https://host:5000/v2/": {"username": "you", "password": "p:w"},
        "ready.example": {"registrytoken": "bearer"},
    }
    path.write_text(json.dumps({"auths": auths}))
    lent = Lent(ConfiguredLogins(DockerConfig(str(path))))
    assert SessionCredentials(lent).lookup(domain) == expected
