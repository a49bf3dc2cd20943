"""A real registry on a free port, and a proxy in front of it that injects faults."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import random
import socket
import subprocess
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

from lamina.base.digest import digest_of
from lamina.base.oci import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
)
from lamina.base.reference import Reference, parse_reference

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Image(NamedTuple):
    """The content of the registry."""

    path: str
    manifest: bytes
    layer: bytes

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(OCI_MANIFEST, digest_of(self.manifest), len(self.manifest))

    @property
    def layer_descriptor(self) -> Descriptor:
        return Descriptor(OCI_LAYER_GZIP, digest_of(self.layer), len(self.layer))

    def at(self, host: str) -> Reference:
        return parse_reference(f"{host}/{self.path}")


def make_layout(folder: Path) -> tuple[bytes, bytes]:
    """An OCI layout with one image tagged `latest`. Returns its manifest and its layer."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        info = tarfile.TarInfo("data")
        data = random.Random(1).randbytes(3 << 20)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    layer = gzip.compress(raw.getvalue(), mtime=0)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(raw.getvalue())]},
        }
    ).encode()
    manifest = json.dumps(
        Manifest(
            OCI_MANIFEST,
            Descriptor(OCI_CONFIG, digest_of(config), len(config)),
            (Descriptor(OCI_LAYER_GZIP, digest_of(layer), len(layer)),),
        ).to_json()
    ).encode()
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for blob in (layer, config, manifest):
        (blobs / digest_of(blob).hex).write_bytes(blob)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    top = Descriptor(
        OCI_MANIFEST,
        digest_of(manifest),
        len(manifest),
        (("org.opencontainers.image.ref.name", "latest"),),
    )
    (folder / "index.json").write_text(json.dumps(Index(OCI_INDEX, (top,)).to_json()))
    return manifest, layer


def fill(host: str, layout: Path, path: str, *options: str, tag: str = "latest") -> None:
    """Copy an image of a layout into a registry."""
    subprocess.run(
        [
            "skopeo",
            "--insecure-policy",
            "copy",
            "-q",
            "--preserve-digests",
            "--dest-tls-verify=false",
            *options,
            f"oci:{layout}:{tag}",
            f"docker://{host}/{path}",
        ],
        check=True,
        capture_output=True,
    )


class Seen(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]


class FaultProxy:
    """Forwards to `upstream` unless a fault is due.

    `faults` are (part of "METHOD path", action); the first that matches a request is removed. An
    action is called with the handler and must answer or drop the connection.
    """

    def __init__(self, upstream: str, bind: str = "127.0.0.1") -> None:
        self.upstream = upstream
        self.faults: list[tuple[str, Callable[[Handler], None]]] = []
        self.always: Callable[[Handler], bool] | None = None
        self.seen: list[Seen] = []
        self.stop = threading.Event()
        proxy = self

        class Bound(Handler):
            owner = proxy

        self.server = ThreadingHTTPServer((bind, 0), Bound)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # quiet
        self.host = f"{bind}:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    def __enter__(self) -> FaultProxy:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def fail(self, match: str, action: Callable[[Handler], None], times: int = 1) -> None:
        self.faults.extend([(match, action)] * times)

    def requests(self, part: str) -> list[Seen]:
        return [seen for seen in self.seen if part in f"{seen.method} {seen.path}"]


class Handler(BaseHTTPRequestHandler):
    owner: FaultProxy
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def serve(self) -> None:
        line = f"{self.command} {self.path}"
        self.owner.seen.append(Seen(self.command, self.path, dict(self.headers)))
        if self.owner.always is not None and self.owner.always(self):
            return
        for fault in self.owner.faults:
            if fault[0] in line:
                self.owner.faults.remove(fault)
                fault[1](self)
                return
        self.forward()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = serve

    def forward(self, limit: int | None = None) -> None:
        """Relay the response; with a limit, disconnect after that many bytes of the body."""
        connection = http.client.HTTPConnection(self.owner.upstream, timeout=10)
        try:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else None
            headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            data = response.read()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[:limit])
            if limit is not None:
                self.drop()
        finally:
            connection.close()

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        if int(self.headers.get("Content-Length") or 0):
            self.send_header("Connection", "close")  # the request's body may be unread
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def drop(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def status(code: int, **headers: str) -> Callable[[Handler], None]:
    return lambda handler: handler.reply(code, b"", **headers)


def truncate(after: int) -> Callable[[Handler], None]:
    return lambda handler: handler.forward(after)


def reset(handler: Handler) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    handler.close_connection = True
    handler.connection.close()


def stall(handler: Handler) -> None:
    handler.owner.stop.wait(30)
    handler.close_connection = True
