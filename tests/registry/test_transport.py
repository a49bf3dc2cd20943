from __future__ import annotations

import base64
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

from lamina.base.errors import Cancelled, InvalidInput, Unavailable
from lamina.registry.client import RegistryClient
from lamina.registry.credentials import Anonymous
from lamina.registry.hosts import Hosts, Registry, Tls
from lamina.registry.request import Request
from lamina.registry.transport import RetryPolicy, Transport
from lamina.registry.url import make_url
from lamina.system.cancel import Cancellation
from tests import real_registry
from tests.registry import registry_server

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A directory with a self-signed key pair for 127.0.0.1, and the certificate's path."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *(
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=test",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
            ),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return folder, str(folder / "cert.pem")


def test_tls(authority: Any, layout: Any, tmp_path: Path, retry_policy: RetryPolicy) -> None:
    folder, ca = authority
    (tmp_path / "r").mkdir()
    with real_registry.running_registry(
        tmp_path / "r", tls=f", tls: {{certificate: {ca}, key: {folder}/key.pem}}"
    ) as host:
        registry_server.fill(host, layout[0], layout[1].path)
        image = layout[1]

        def resolve(registry: Registry) -> Any:
            hosts = Hosts(((host, registry),))
            with RegistryClient(hosts, Anonymous(), retry_policy) as client:
                found = client.resolve(image.at(host))
                data = b"".join(client.blob(image.at(host), image.layer_descriptor))
                assert data == image.layer
                return found

        assert resolve(Registry(http=False, tls=Tls((ca,)))) == image.descriptor
        assert resolve(Registry(insecure=True)) == image.descriptor
        with pytest.raises(Unavailable, match="not trusted") as caught:
            resolve(Registry(http=False))
        assert "ca =" in caught.value.hint
        with pytest.raises(Unavailable, match="only supports HTTPS") as caught:
            resolve(Registry())
        assert "http = false" in caught.value.hint
        with pytest.raises(InvalidInput, match="cannot use the TLS files"):
            resolve(Registry(http=False, tls=Tls(("/no/such/ca.pem",))))


def test_proxies(registry: Any, retry_policy: RetryPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    image = registry[1]
    with registry_server.FaultProxy(registry[0]) as proxy:
        seen: list[tuple[str, str]] = []

        def strip(handler: registry_server.Handler) -> bool:
            seen.append((handler.path, handler.headers["Proxy-Authorization"]))
            handler.path = "/" + handler.path.split("/", 3)[3]
            return False

        proxy.always = strip
        monkeypatch.setenv("http_proxy", f"http://me:pass%40@{proxy.host}")
        monkeypatch.setenv("no_proxy", "skipped.invalid")
        hosts = Hosts(
            (("reg.invalid", Registry(http=True)), ("skipped.invalid", Registry(http=True)))
        )
        with RegistryClient(hosts, Anonymous(), retry_policy) as client:
            assert client.resolve(image.at("reg.invalid")) == image.descriptor
            with pytest.raises(Unavailable, match=r"lookup .*: no such host"):
                client.resolve(image.at("skipped.invalid"))
            assert client.resolve(image.at(registry[0])) == image.descriptor  # never for localhost
        auth = "Basic " + base64.b64encode(b"me:pass@").decode()
        assert seen == [("http://reg.invalid/v2/team/app/manifests/v1", auth)]
        monkeypatch.setenv("http_proxy", "socks5://x")
        with (
            RegistryClient(hosts, Anonymous(), retry_policy) as client,
            pytest.raises(InvalidInput, match="not a plain HTTP proxy"),
        ):
            client.resolve(image.at("reg.invalid"))


def test_not_http(retry_policy: RetryPolicy) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def talk() -> None:
            for _ in range(retry_policy.attempts):
                peer, _ = server.accept()
                with peer:
                    peer.recv(4096)
                    peer.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        with (
            Transport(retry_policy) as transport,
            pytest.raises(Unavailable, match="not an HTTP server"),
        ):
            transport.send(
                Request("GET", make_url("http", f"127.0.0.1:{port}", "/")), Cancellation()
            )
        thread.join()


def test_cancelling_ends_the_pause_between_tries(proxy: registry_server.FaultProxy) -> None:
    cancel = Cancellation()
    proxy.fail("", registry_server.status(503), 9)
    threading.Timer(0.1, cancel.cancel).start()
    url = make_url("http", proxy.host, "/v2/")
    with Transport(RetryPolicy(pause=100, longest=100)) as transport, pytest.raises(Cancelled):
        transport.send(Request("GET", url), cancel)
