"""Registry credentials from a client to an engine, through both conversions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lamina.api.auth import FetchTokenRequest
from lamina.base.errors import InvalidInput, PermissionDenied, Unavailable
from lamina.client.logins import ConfiguredLogins, ConfiguredTokens
from lamina.client.token_seeds import TokenSeeds
from lamina.engine.session_credentials import SessionCredentials
from lamina.registry.credentials import Credentials, DockerConfig
from lamina.registry.hosts import parse_hosts
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from pathlib import Path

    from lamina.session.remote_session import Login, Token


class SessionProviders:
    """A session between the two, without a connection."""

    def __init__(self, logins: ConfiguredLogins) -> None:
        self._logins = logins

    def login(self, host: str) -> Login | None:
        return self._logins(host)

    def token_authority(self, host: str, salt: bytes) -> bytes | None:
        return None

    def token(self, request: FetchTokenRequest, cancel: Cancellation) -> Token | None:
        return None


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
    lent = SessionProviders(ConfiguredLogins(DockerConfig(str(path))))
    assert SessionCredentials(lent).lookup(domain) == expected


def tokens(
    folder: Path, auths: dict[str, dict[str, str]], **registries: dict[str, bool]
) -> ConfiguredTokens:
    hosts = parse_hosts({"registry": registries})
    (folder / "config.json").write_text(json.dumps({"auths": auths}))
    config = DockerConfig(str(folder / "config.json"))
    return ConfiguredTokens(config, TokenSeeds(str(folder)), lambda: hosts)


def test_seeds_are_of_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    login = {"username": "me", "password": "p"}
    mine = tokens(tmp_path, {"a.example": login})
    seed = mine.seed("a.example")
    assert seed is not None
    assert len(seed) > 16
    assert mine.seed("a.example") == seed
    assert mine.seed("b.example") is None
    # The same one in another process, but not with other credentials.
    assert (
        tokens(tmp_path, {"a.example": {"username": "me", "password": "p"}}).seed("a.example")
        == seed
    )
    assert (
        tokens(tmp_path, {"a.example": {"username": "me", "password": "q"}}).seed("a.example")
        != seed
    )
    monkeypatch.setenv("BUILDKIT_NO_CLIENT_TOKEN", "true")
    assert mine.seed("a.example") is None


def test_a_static_token_is_provided(tmp_path: Path) -> None:
    lender = tokens(tmp_path, {"https://index.docker.io/v1/": {"registrytoken": "ready"}})
    assert lender.seed("registry-1.docker.io") is not None
    request = FetchTokenRequest("", "registry-1.docker.io", "https://127.0.0.1:1/token")
    assert lender.fetch(request, Cancellation()).value == "ready"


@pytest.mark.parametrize(
    ("realm", "error"),
    [
        ("http://127.0.0.1:1/token", PermissionDenied),
        ("file:///etc/passwd", InvalidInput),
        ("https://user:pass@a.example/", InvalidInput),
        ("", InvalidInput),
        ("//", InvalidInput),
    ],
)
def test_credentials_are_sent_only_to_encrypted_services(
    tmp_path: Path, realm: str, error: type[Exception]
) -> None:
    lender = tokens(tmp_path, {"a.example": {"username": "me", "password": "p"}})
    with pytest.raises(error):
        lender.fetch(FetchTokenRequest("", "a.example", realm), Cancellation())


def test_plain_registries_may_have_plain_services(tmp_path: Path) -> None:
    login = {"username": "me", "password": "p"}
    lender = tokens(tmp_path, {"a.example": login}, **{"a.example": {"http": True}})
    request = FetchTokenRequest("", "a.example", "http://127.0.0.1:1/token")
    with pytest.raises(Unavailable, match=r"cannot connect to 127\.0\.0\.1:1"):
        lender.fetch(request, Cancellation())
