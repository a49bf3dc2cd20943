"""Certificates for tests, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple


class Certificates(NamedTuple):
    """Paths of PEM files, all signed by `ca` except the stranger's."""

    ca: str
    server: str
    server_key: str
    client: str
    client_key: str
    stranger: str
    stranger_key: str

    def client_bytes(self) -> tuple[bytes, bytes, bytes]:
        """The certificate of the CA, and the client's key and certificate, for grpcio."""
        ca, key, certificate = map(Path, (self.ca, self.client_key, self.client))
        return ca.read_bytes(), key.read_bytes(), certificate.read_bytes()

    def server_bytes(self) -> tuple[bytes, bytes]:
        return Path(self.server_key).read_bytes(), Path(self.server).read_bytes()


def make_certificates(folder: Path) -> Certificates:

    def openssl(*args: str) -> None:
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    def make(name: str, subject: str, *signing: str) -> None:
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", "2", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", subject,
            *signing,
        )  # fmt: skip

    make("ca", "/CN=test CA")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key")
    name = ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    make("server", "/CN=server", *signed, *name, "-addext", "basicConstraints=critical,CA:FALSE")
    make("client", "/O=lamina/CN=client", *signed, "-addext", "basicConstraints=critical,CA:FALSE")
    make("stranger", "/CN=stranger")
    names = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")
    return Certificates(*(str(folder / name) for name in (*names, "stranger.pem", "stranger.key")))
