from __future__ import annotations

import json
import os
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import InvalidInput, PermissionDenied, Unavailable
from lamina.registry.auth import fetch_token, parse_challenges
from lamina.registry.credentials import BearerRequest, BearerToken, Credentials, DockerConfig
from lamina.registry.hosts import Tls
from lamina.registry.transport import Transport
from lamina.registry.url import make_url, parse_url
from lamina.system.cancel import Cancellation
from tests.real_registry import make_certificates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_challenges() -> None:
    found = parse_challenges(
        'Bearer realm="https://auth/token", service="a \\"b\\"",scope = "repository:x:pull",'
        " Basic realm=plain, Negotiate"
    )
    assert [c.scheme for c in found] == ["bearer", "basic", "negotiate"]
    assert found[0].get("service") == 'a "b"'
    assert found[0].get("scope") == "repository:x:pull"
    assert found[1].get("realm") == "plain"
    assert found[2].get("realm") == ""


@given(st.text(alphabet=st.characters(codec="latin-1")))
def test_any_header_is_survived(text: str) -> None:
    parse_challenges(text)


@given(st.dictionaries(st.from_regex(r"\A[a-z]{1,9}\Z"), st.text(st.characters(codec="ascii"))))
def test_quoted_values_round_trip(values: dict[str, str]) -> None:
    text = "X " + ", ".join(
        '{}="{}"'.format(k, v.replace("\\", "\\\\").replace('"', '\\"')) for k, v in values.items()
    )
    assert dict(parse_challenges(text)[0].parameters) == values


def config(folder: Path, document: object) -> DockerConfig:
    (folder / "config.json").write_text(json.dumps(document))
    return DockerConfig(str(folder / "config.json"))


def test_docker_config(tmp_path: Path) -> None:
    found = config(
        tmp_path,
        {
            "auths": {
                "https://index.docker.io/v1/": {"auth": "bWU6cGFzczp3b3Jk"},
                "ghcr.io": {"identitytoken": "it"},
                "https://old.example/v2/": {"username": "u", "password": "p"},
                "empty.example": {},
            }
        },
    )
    assert found.lookup("docker.io") == Credentials("me", "pass:word")
    assert found.lookup("ghcr.io") == Credentials(identity_token="it")
    assert found.lookup("old.example") == Credentials("u", "p")
    assert found.lookup("empty.example") is None
    assert found.lookup("other.example") is None
    assert "pass" not in repr(found.lookup("docker.io"))


def test_no_or_bad_config(tmp_path: Path) -> None:
    assert DockerConfig(str(tmp_path / "none.json")).lookup("x") is None
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InvalidInput, match="not valid JSON"):
        DockerConfig(str(tmp_path / "config.json")).lookup("x")
    with pytest.raises(InvalidInput, match="base64"):
        config(tmp_path, {"auths": {"x": {"auth": "%%"}}}).lookup("x")


def test_helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-test"
    helper.write_text(
        '#!/bin/sh\nread -r server\ncase "$server" in\n'
        """plain.example) echo '{"Username": "u", "Secret": "s"}';;\n"""
        """token.example) echo '{"Username": "<token>", "Secret": "t"}';;\n"""
        "broken.example) echo nonsense;;\n"
        "failing.example) echo 'the key ring is locked'; exit 1;;\n"
        "*) echo 'credentials not found in native keychain'; exit 1;;\nesac\n"
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = config(
        tmp_path,
        {"credsStore": "test", "credHelpers": {"gone.example": "absent", "a.example": "../x"}},
    )
    assert found.lookup("plain.example") == Credentials("u", "s")
    assert found.lookup("token.example") == Credentials(identity_token="t")
    assert found.lookup("unknown.example") is None
    assert found.lookup("gone.example") is None
    with pytest.raises(PermissionDenied, match="invalid answer"):
        found.lookup("broken.example")
    with pytest.raises(PermissionDenied, match="key ring"):
        found.lookup("failing.example")
    with pytest.raises(InvalidInput):
        found.lookup("a.example")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[int]:
    """The port of a token service at `localhost`, with a certificate signed by that of `ca.pem`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"token": "sesame", "expires_in": 1e999}')

        def log_message(self, format: str, *args: object) -> None:
            return

    make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_the_ca_of_a_registry_is_trusted_for_its_token_service(
    service: int, tmp_path: Path
) -> None:
    registry = make_url("https", "127.0.0.1:1", "/")
    wanted = BearerRequest(parse_url(f"https://localhost:{service}/token"), "here", "")

    def fetch(tls: Tls) -> BearerToken:
        return fetch_token(transport, registry, wanted, None, tls, Cancellation())

    with Transport() as transport:
        assert fetch(Tls((str(tmp_path / "ca.pem"),))) == BearerToken("sesame", 60)
        for tls in (Tls(), Tls(verify=False)):
            with pytest.raises(Unavailable, match="certificate of localhost"):
                fetch(tls)
