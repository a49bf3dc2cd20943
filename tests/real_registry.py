"""Debian's docker-registry as a process: plain, with TLS, with htpasswd."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
import urllib.request
from typing import TYPE_CHECKING, Any

from lamina.base.digest import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lamina.base.digest import Digest

# "user" with the password "secret"
HTPASSWD = "user:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RealRegistry:
    """A registry with its files in `folder`; it can be killed and started again."""

    def __init__(self, folder: Path, extra: str = "", tls: str = "") -> None:
        self._port = free_port()
        self.host = f"127.0.0.1:{self._port}"
        self._log = folder / "log"
        self._config = folder / "config.yml"
        folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
            f"http: {{addr: '{self.host}', secret: test{tls}}}\n{extra}"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(self._config)],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return
            except OSError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def running_registry(folder: Path, extra: str = "", tls: str = "") -> Iterator[str]:
    """The `host:port` of a registry that runs during the block."""
    registry = RealRegistry(folder, extra, tls)
    registry.start()
    try:
        yield registry.host
    finally:
        registry.kill()


def make_certificates(folder: Path) -> None:
    """`ca.pem`, and `cert.pem` and `key.pem` of a server at 127.0.0.1, signed by it."""
    folder.mkdir(parents=True, exist_ok=True)

    def openssl(*args: str) -> None:
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(
        *["req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"],
        *["-subj", "/CN=Test CA", "-addext", "keyUsage=critical,keyCertSign"],
    )
    openssl("req", *key, "-keyout", "key.pem", "-out", "req.pem", "-subj", "/CN=127.0.0.1")
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    openssl(
        *["x509", "-req", "-in", "req.pem", "-CA", "ca.pem", "-CAkey", "ca.key"],
        *["-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", "cert.pem"],
    )


def put_blob(host: str, name: str, data: bytes) -> Digest:
    """Upload bytes into a repository of a plain registry."""
    with _request("POST", f"http://{host}/v2/{name}/blobs/uploads/") as answer:
        place = answer.headers["Location"]
    digest = digest_of(data)
    mark = "&" if "?" in place else "?"
    _request("PUT", f"{place}{mark}digest={digest}", data, "application/octet-stream").close()
    return digest


def put_manifest(host: str, name: str, document: dict[str, Any], tag: str = "") -> Digest:
    """Upload a manifest or an index, by its digest if it has no tag."""
    data = json.dumps(document).encode()
    digest = digest_of(data)
    url = f"http://{host}/v2/{name}/manifests/{tag or digest}"
    _request("PUT", url, data, document["mediaType"]).close()
    return digest


def _request(method: str, url: str, data: bytes = b"", kind: str = "") -> Any:
    headers = {"Content-Type": kind} if kind else {}
    return urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method))
