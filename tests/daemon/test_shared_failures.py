"""Failures of work that clients of one daemon share: no client sees another one's Dockerfile."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import RemoteLamina
from tests.daemon.test_clients import Watched
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_IMAGE = "application/vnd.oci.image."


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class MissingLayerRegistry(ThreadingHTTPServer):
    """Has one image, whose layer is missing once `answer` is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked = threading.Event()
        self.answer = threading.Event()
        layer: dict[str, Any] = {"digest": digest(b"layer"), "size": 5}
        rootfs = {"type": "layers", "diff_ids": [digest(b"files")]}
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}
        ).encode()
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _IMAGE + "manifest.v1+json",
                "config": {
                    "mediaType": _IMAGE + "config.v1+json",
                    "digest": digest(config),
                    "size": len(config),
                },
                "layers": [{"mediaType": _IMAGE + "layer.v1.tar", **layer}],
            }
        ).encode()
        self.blobs = {digest(config): config}

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}/broken:1"


class _Handler(BaseHTTPRequestHandler):
    server: MissingLayerRegistry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        last = self.path.rpartition("/")[2]
        if "/manifests/" in self.path:
            self._send(200, self.server.manifest, _IMAGE + "manifest.v1+json")
        elif last in self.server.blobs:
            self._send(200, self.server.blobs[last])
        elif "/blobs/" in self.path:
            self.server.asked.set()
            self.server.answer.wait(60)
            self._send(404, b'{"errors": [{"code": "BLOB_UNKNOWN", "message": "unknown"}]}')
        else:
            self._send(200, b"{}")

    do_HEAD = do_GET

    def _send(self, code: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if "/manifests/" in self.path:
            self.send_header("Docker-Content-Digest", digest(body))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def registry() -> Iterator[MissingLayerRegistry]:
    with MissingLayerRegistry() as registry:
        thread = threading.Thread(target=registry.serve_forever, daemon=True)
        thread.start()
        yield registry
        registry.answer.set()
        registry.shutdown()
        thread.join()


@pytest.mark.parametrize("distinct", [True, False], ids=["different steps", "the same steps"])
def test_each_client_is_shown_its_own_dockerfile(
    registry: MissingLayerRegistry, tmp_path: Path, distinct: bool
) -> None:
    with DaemonProcess(tmp_path / "store") as daemon:
        client = RemoteLamina(tmp_path, daemon.address)
        folders = {}
        for name in ("alice", "bob"):
            folders[name] = tmp_path / name
            folders[name].mkdir()
            step = name if distinct else "both"
            (folders[name] / "Dockerfile").write_text(
                f"# the password of {name}\nFROM {registry.name} AS stage-of-{name}\n"
                f"RUN echo {step}\n"
            )
        with Watched(client, folders["alice"]) as alice:
            assert registry.asked.wait(60)
            with Watched(client, folders["bob"]) as bob:
                bob.until(f"] FROM {registry.name}")
                time.sleep(0.5)  # until it requests the layer, too
                registry.answer.set()
                assert bob.end() == 1
            assert alice.end() == 1
    for log, own, other in ((alice.log, "alice", "bob"), (bob.log, "bob", "alice")):
        assert "does not exist" in log
        assert f"the password of {own}" in log
        assert other not in log
