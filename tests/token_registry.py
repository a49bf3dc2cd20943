"""A registry that accepts only tokens, and its token service.

Only the user `user` gets tokens, with the password `secret` or the identity token `identity`.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from base64 import b64decode, b64encode, urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.real_registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Iterator


class Asked(NamedTuple):
    """One request for a token; `port` is the client's, `pids` the processes with that socket."""

    who: str
    scopes: tuple[str, ...]
    pids: frozenset[int]


class TokenService:
    """Serves at `realm` from `start` to `stop`. `asked` are the requests, including refused ones.

    `life` (s) is the announced lifetime of its tokens, `valid` the real one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[Asked] = []
        self.life = self.valid = 300
        key = ["-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem"]
        subprocess.run(
            ["openssl", "req", "-x509", *key, "-out", "cert.pem", "-subj", "/CN=tokens"],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        lines = (folder / "cert.pem").read_text().split("-----")[2].split()
        self.certificate = "".join(lines)
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.start()

    @property
    def realm(self) -> str:
        return f"http://127.0.0.1:{self._port}/token"

    def start(self) -> None:
        service = self

        class Handler(_Handler):
            owner = service

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None

    def token(self, scopes: tuple[str, ...]) -> str:
        """A JSON Web Token in the format of the distribution registry."""
        now = int(time.time())
        access = [
            {"type": kind, "name": name, "actions": actions.split(",")}
            for kind, name, actions in (scope.split(":") for scope in scopes)
        ]
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self.certificate]}
        claims: dict[str, object] = {
            "iss": "tokens",
            "sub": "user",
            "aud": "here",
            "access": access,
            "jti": "1",
        }
        claims |= {"exp": now + self.valid, "nbf": now - 600, "iat": now - 600}
        text = b".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        signed = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", self.folder / "key.pem"],
            input=text,
            check=True,
            capture_output=True,
        )
        return (text + b"." + _base64(signed.stdout)).decode()


class _Handler(BaseHTTPRequestHandler):
    owner: TokenService

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        kind, _, pair = self.headers.get("Authorization", "").partition(" ")
        self._answer(b64decode(pair).decode() if kind == "Basic" else "nobody", query)

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if form["grant_type"] == ["password"]:
            self._answer(f"{form['username'][0]}:{form['password'][0]}", form)
        else:
            self._answer(form["refresh_token"][0], form)

    def _answer(self, who: str, query: dict[str, list[str]]) -> None:
        scopes = tuple(" ".join(query.get("scope", [])).split())
        self.owner.asked.append(Asked(who, scopes, _pids(self.client_address[1])))
        known = who in ("user:secret", "identity") and query["service"] == ["here"]
        token = {"token": self.owner.token(scopes), "expires_in": self.owner.life} if known else {}
        if known and self.command == "POST":
            token["access_token"] = token.pop("token")
        data = json.dumps(token).encode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client may be gone
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        return


def _base64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _pids(port: int) -> frozenset[int]:
    """The processes with a socket on this local port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}")}
    found = set()
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):
            if any(os.readlink(link) in sockets for link in folder.iterdir()):
                found.add(int(folder.parent.name))
    return frozenset(found)


@contextlib.contextmanager
def running_token_registry(folder: Path) -> Iterator[tuple[str, TokenService]]:
    """The `host:port` of the registry, and its service, during the block."""
    folder.mkdir()
    service = TokenService(folder)
    try:
        auth = f"{{realm: '{service.realm}', service: here, issuer: tokens"
        extra = f"auth: {{token: {auth}, rootcertbundle: {folder}/cert.pem}}}}\n"
        with running_registry(folder, extra) as host:
            yield host, service
    finally:
        service.stop()


def write_login(folder: Path, host: str, password: str = "secret", **entry: str) -> Path:
    """A Docker configuration with credentials for one registry. Returns its directory."""
    folder.mkdir(exist_ok=True)
    auth = {"auth": b64encode(f"user:{password}".encode()).decode()}
    (folder / "config.json").write_text(json.dumps({"auths": {host: entry or auth}}))
    return folder
