from __future__ import annotations

import http.server
import io
import json
import threading
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from lamina.base.digest import Digest, digest_of
from lamina.base.errors import Cancelled, Corrupt, NotFound, PermissionDenied, Unavailable
from lamina.base.oci import OCI_INDEX, OCI_MANIFEST, Descriptor, Index
from lamina.base.reference import parse_reference
from lamina.registry.client import RegistryClient
from lamina.registry.credentials import Anonymous, Credentials, DockerConfig
from lamina.registry.hosts import Hosts, Registry
from lamina.registry.pull import fetch_blob
from lamina.system.cancel import Cancellation
from tests import real_registry
from tests.registry import registry_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lamina.registry.transport import RetryPolicy
    from tests.registry.registry_server import FaultProxy


class Buffer:
    def __init__(self) -> None:
        self.data = bytearray()

    @property
    def offset(self) -> int:
        return len(self.data)

    def write(self, chunk: bytes, /) -> None:
        self.data += chunk


@pytest.fixture
def client(retry_policy: RetryPolicy) -> Iterator[RegistryClient]:
    with RegistryClient(credentials=Anonymous(), retry_policy=retry_policy) as made:
        yield made


def test_pull_from_a_real_registry(client: RegistryClient, registry: Any) -> None:
    host, image = registry
    reference = image.at(host)
    found = client.resolve(reference)
    assert found == image.descriptor
    assert client.manifest(reference, found.digest) == image.manifest
    assert client.resolve(reference._replace(tag="", digest=found.digest)) == found
    assert b"".join(client.blob(reference, image.layer_descriptor)) == image.layer
    assert b"".join(client.blob(reference, image.layer_descriptor, 1000)) == image.layer[1000:]
    sink = Buffer()
    sink.write(image.layer[:77])
    steps: list[int] = []
    fetch_blob(client, reference, image.layer_descriptor, sink, progress=steps.append)
    assert sink.data == image.layer
    assert steps[0] == 77
    assert steps[-1] == len(image.layer)


def test_missing_things(client: RegistryClient, registry: Any) -> None:
    host, image = registry
    with pytest.raises(NotFound, match="does not exist"):
        client.resolve(parse_reference(f"{host}/team/app:nope"))
    with pytest.raises(NotFound, match="does not exist"):
        client.resolve(parse_reference(f"{host}/nobody/nothing"))
    missing = digest_of(b"missing")
    with pytest.raises(NotFound):
        client.manifest(image.at(host), missing)
    with pytest.raises(NotFound):
        list(client.blob(image.at(host), Descriptor(OCI_MANIFEST, missing, 7)))


def test_no_registry(client: RegistryClient) -> None:
    with pytest.raises(Unavailable, match="cannot connect to"):
        client.resolve(parse_reference(f"127.0.0.1:{real_registry.free_port()}/x"))
    with pytest.raises(Unavailable, match=r"lookup .*: no such host"):
        client.resolve(parse_reference("no-such-host.invalid/x"))


@pytest.mark.parametrize(
    "fault",
    [
        registry_server.status(500),
        registry_server.status(429, Retry_After="0"),
        registry_server.reset,
        registry_server.stall,
    ],
    ids=["500", "429", "reset", "stall"],
)
def test_passing_faults(
    client: RegistryClient, proxy: registry_server.FaultProxy, registry: Any, fault: Any
) -> None:
    image = registry[1]
    reference = image.at(proxy.host)
    proxy.fail("HEAD", fault)
    proxy.fail("GET", fault)
    found = client.resolve(reference)
    assert client.manifest(reference, found.digest) == image.manifest
    proxy.fail("GET", fault)
    assert b"".join(client.blob(reference, image.layer_descriptor)) == image.layer
    assert not proxy.faults


def test_lasting_faults(
    client: RegistryClient, proxy: registry_server.FaultProxy, registry: Any
) -> None:
    reference = registry[1].at(proxy.host)
    proxy.fail("", registry_server.status(503), 20)
    with pytest.raises(Unavailable, match="503"):
        client.resolve(reference)
    assert len(proxy.seen) == 2 * 4  # HEAD, then GET
    proxy.faults.clear()
    proxy.fail("", registry_server.status(429, Retry_After="3600"), 20)
    with pytest.raises(Unavailable, match="limits the rate of requests for 3600 s"):
        client.resolve(reference)
    assert len(proxy.seen) == 2 * 4 + 2  # no wait of an hour


@pytest.mark.parametrize("ranges", [True, False])
def test_broken_bodies_are_continued(
    client: RegistryClient, proxy: registry_server.FaultProxy, registry: Any, ranges: bool
) -> None:
    image = registry[1]
    if not ranges:

        def strip(handler: registry_server.Handler) -> bool:
            del handler.headers["Range"]
            return False

        proxy.always = strip
    for after in (1 << 20, 2 << 20, 100):
        proxy.fail("/blobs/", registry_server.truncate(after))
    assert b"".join(client.blob(image.at(proxy.host), image.layer_descriptor)) == image.layer
    assert not proxy.faults


def test_a_body_that_is_always_truncated(
    client: RegistryClient, proxy: registry_server.FaultProxy, registry: Any
) -> None:
    image = registry[1]
    proxy.fail("/blobs/", registry_server.truncate(100), 50)
    with pytest.raises(Unavailable, match="early"):
        list(client.blob(image.at(proxy.host), image.layer_descriptor))
    assert len(proxy.seen) < 20


def test_wrong_sizes(client: RegistryClient, registry: Any) -> None:
    host, image = registry
    layer = image.layer_descriptor
    for size, word in ((layer.size - 1, "more than"), (layer.size + 1, "only")):
        with pytest.raises(Corrupt, match=word):
            list(client.blob(image.at(host), layer._replace(size=size)))


def test_a_manifest_with_other_bytes(
    client: RegistryClient, proxy: registry_server.FaultProxy, registry: Any
) -> None:
    image = registry[1]
    proxy.fail("GET", lambda handler: handler.reply(200, b"{}"))
    with pytest.raises(Corrupt, match="that is not"):
        client.manifest(image.at(proxy.host), image.descriptor.digest)
    proxy.fail(
        "HEAD",
        lambda handler: handler.reply(
            200, Docker_Content_Digest=digest_of(b"x"), Content_Type=OCI_MANIFEST
        ),
    )
    reference = image.at(proxy.host)._replace(digest=image.descriptor.digest)
    with pytest.raises(Corrupt, match="gave"):
        client.resolve(reference)


def test_head_is_not_needed(
    client: RegistryClient, proxy: registry_server.FaultProxy, registry: Any
) -> None:
    image = registry[1]
    reference = image.at(proxy.host)
    proxy.fail("HEAD", registry_server.status(405))
    assert client.resolve(reference) == image.descriptor
    assert client.manifest(reference, image.descriptor.digest) == image.manifest
    assert len(proxy.requests("GET")) == 1


def test_cancelling_wakes_a_stalled_transfer(
    client: RegistryClient, proxy: registry_server.FaultProxy, registry: Any
) -> None:
    image = registry[1]
    cancel = Cancellation()
    proxy.fail("/blobs/", registry_server.stall)
    threading.Timer(0.1, cancel.cancel).start()
    with pytest.raises(Cancelled):
        list(client.blob(image.at(proxy.host), image.layer_descriptor, cancel=cancel))


def test_connections_are_kept(
    client: RegistryClient,
    proxy: registry_server.FaultProxy,
    registry: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = registry[1]
    made = []
    original = http.server.BaseHTTPRequestHandler.setup

    def setup(handler: Any) -> None:
        made.append(handler)
        original(handler)

    handler_class = proxy.server.RequestHandlerClass
    monkeypatch.setattr(handler_class, "setup", setup)
    for _ in range(3):
        client.resolve(image.at(proxy.host))
        client.manifest(image.at(proxy.host), image.descriptor.digest)
        list(client.blob(image.at(proxy.host), image.layer_descriptor))
    assert len(proxy.seen) == 9
    assert len(made) == 1


def test_threads_share_a_client(client: RegistryClient, registry: Any) -> None:
    host, image = registry
    results: list[bytes] = []

    def pull() -> None:
        results.append(b"".join(client.blob(image.at(host), image.layer_descriptor)))

    threads = [threading.Thread(target=pull) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [image.layer] * 8


def test_mirrors(
    proxy: registry_server.FaultProxy, registry: Any, retry_policy: RetryPolicy
) -> None:
    image = registry[1]
    dead = f"127.0.0.1:{real_registry.free_port()}"
    hosts = Hosts((("docker.io", Registry(mirrors=(dead, proxy.host))),))
    with RegistryClient(hosts, Anonymous(), retry_policy) as client:
        reference = parse_reference("docker.io/team/app:v1")
        assert client.resolve(reference) == image.descriptor
    assert proxy.seen[0].path == "/v2/team/app/manifests/v1?ns=docker.io"


def test_insecure_falls_back_to_plain_http(registry: Any, retry_policy: RetryPolicy) -> None:
    host, image = registry
    hosts = Hosts(((host, Registry(insecure=True)),))
    with RegistryClient(hosts, Anonymous(), retry_policy) as client:
        assert client.resolve(image.at(host)) == image.descriptor


def test_https_to_a_plain_server(registry: Any, retry_policy: RetryPolicy) -> None:
    host, image = registry
    hosts = Hosts(((host, Registry(http=False)),))
    with (
        RegistryClient(hosts, Anonymous(), retry_policy) as client,
        pytest.raises(Unavailable, match="TLS handshake") as caught,
    ):
        client.resolve(image.at(host))
    assert "http = true" in caught.value.hint


def docker_config(folder: Path, host: str, password: str) -> DockerConfig:
    auth = b64encode(f"user:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return DockerConfig(str(folder / "config.json"))


def test_basic_login(private_registry: Any, retry_policy: RetryPolicy, tmp_path: Path) -> None:
    host, image = private_registry
    with RegistryClient(credentials=Anonymous(), retry_policy=retry_policy) as client:
        with pytest.raises(PermissionDenied) as caught:
            client.resolve(image.at(host))
        assert "lamina login" in caught.value.hint
    wrong = docker_config(tmp_path, host, "guess")
    with (
        RegistryClient(credentials=wrong, retry_policy=retry_policy) as client,
        pytest.raises(PermissionDenied),
    ):
        client.resolve(image.at(host))
    right = docker_config(tmp_path, f"https://{host}/v1/", "secret")
    with RegistryClient(credentials=right, retry_policy=retry_policy) as client:
        assert client.resolve(image.at(host)) == image.descriptor
        assert b"".join(client.blob(image.at(host), image.layer_descriptor)) == image.layer


class OneLogin:
    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials

    def lookup(self, domain: str) -> Credentials:
        return self.credentials


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        (Credentials("user", "secret"), "GET Basic dXNlcjpzZWNyZXQ="),
        (Credentials(identity_token="refresh-me"), "POST refresh-me"),
        (None, "GET anonymous"),
    ],
)
def test_tokens(
    proxy: registry_server.FaultProxy,
    registry: Any,
    retry_policy: RetryPolicy,
    credentials: Credentials | None,
    expected: str,
) -> None:
    image = registry[1]
    asked: list[str] = []
    queries: list[str] = []

    def guard(handler: registry_server.Handler) -> bool:
        if handler.path.startswith("/token"):
            queries.append(handler.path)
            who = handler.headers.get("Authorization", "anonymous")
            if handler.command == "POST":
                form = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
                who = dict(p.split("=") for p in form.split("&"))["refresh_token"]
            asked.append(f"{handler.command} {who}")
            handler.reply(200, b'{"token": "opensesame", "expires_in": 300}')
            return True
        if handler.headers.get("Authorization") != "Bearer opensesame":
            realm = f'Bearer realm="http://{proxy.host}/token",service="a, b",scope="s p"'
            handler.reply(401, b"{}", WWW_Authenticate=realm)
            return True
        return False

    proxy.always = guard
    source = OneLogin(credentials) if credentials else Anonymous()
    with RegistryClient(credentials=source, retry_policy=retry_policy) as client:
        for _ in range(2):
            assert client.resolve(image.at(proxy.host)) == image.descriptor
        assert b"".join(client.blob(image.at(proxy.host), image.layer_descriptor)) == image.layer
    assert asked == [expected]
    if expected.startswith("GET"):
        assert queries[0].startswith("/token?service=a%2C+b&scope=s&scope=p")


def test_redirects_do_not_carry_the_login(
    private_registry: Any, retry_policy: RetryPolicy, tmp_path: Path
) -> None:
    host, image = private_registry
    with registry_server.FaultProxy(host) as front, registry_server.FaultProxy(host) as storage:

        def serve(handler: registry_server.Handler) -> bool:
            handler.reply(200, image.layer)
            return True

        storage.always = serve
        front.fail("/blobs/", registry_server.status(401, WWW_Authenticate='Basic realm="x"'))
        front.fail(
            "/blobs/", registry_server.status(307, Location=f"http://{storage.host}/b?sig=1")
        )
        right = docker_config(tmp_path, front.host, "secret")
        with RegistryClient(credentials=right, retry_policy=retry_policy) as client:
            data = b"".join(client.blob(image.at(front.host), image.layer_descriptor))
        assert data == image.layer
        assert "Authorization" in front.seen[-1].headers
        assert [seen.path for seen in storage.seen] == ["/b?sig=1"]
        assert "Authorization" not in storage.seen[0].headers


def test_redirects_end(
    client: RegistryClient, proxy: registry_server.FaultProxy, registry: Any
) -> None:
    proxy.fail("", registry_server.status(302, Location="/v2/again"), 100)
    with pytest.raises(Unavailable, match="too many times"):
        client.resolve(registry[1].at(proxy.host))


def test_into_the_store(client: RegistryClient, registry: Any, tmp_path: Path) -> None:
    from lamina.stores.blobs import BlobStore

    host, image = registry
    store = BlobStore(str(tmp_path))
    with store.ingest(image.layer_descriptor) as writer:
        writer.write(image.layer[:5000])
    with store.ingest(image.layer_descriptor) as writer:
        fetch_blob(client, image.at(host), image.layer_descriptor, writer)
        writer.commit()
    with store.open(image.layer_descriptor.digest) as file:
        assert isinstance(file, io.BufferedReader)
        assert file.read() == image.layer


def test_empty_blob(client: RegistryClient) -> None:
    nothing = Descriptor("x", Digest(digest_of(b"")), 0)
    assert list(client.blob(parse_reference("nowhere.invalid/x"), nothing)) == []


def test_how_large_a_blob_is(client: RegistryClient, registry: Any) -> None:
    host, image = registry
    wanted = image.layer_descriptor
    assert client.describe_blob(image.at(host), wanted.digest) == wanted._replace(media_type="")
    with pytest.raises(NotFound):
        client.describe_blob(image.at(host), digest_of(b"missing"))


def test_referrers(client: RegistryClient, proxy: FaultProxy, registry: Any) -> None:
    _, image = registry
    reference, digest = image.at(proxy.host), image.descriptor.digest
    assert client.referrers(reference, digest) == ()  # a registry without the API
    listed = Descriptor(OCI_MANIFEST, digest_of(b"s"), 1, (("a", "b"),), artifact_type="x/y")
    index = json.dumps(Index(OCI_INDEX, (listed,)).to_json()).encode()
    kind = {"Content-Type": OCI_INDEX}
    proxy.fail("/referrers/", lambda handler: handler.reply(200, index, **kind))
    assert client.referrers(reference, digest) == (listed,)
    tag = f"/manifests/sha256-{digest.hex}"
    proxy.fail(tag, lambda handler: handler.reply(200, index, **kind))
    assert client.referrers(reference, digest) == (listed,)
    proxy.fail("/referrers/", registry_server.status(403))
    with pytest.raises(PermissionDenied):
        client.referrers(reference, digest)
    proxy.fail("/referrers/", lambda handler: handler.reply(200, b"[]", **kind))
    with pytest.raises(Corrupt):
        client.referrers(reference, digest)
