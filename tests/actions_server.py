"""A server with the public protocol of the GitHub Actions cache (v2), for tests.

It keeps to what the real service does and clients trip over: entries are immutable and invisible
until they are finished, keys match as prefixes, the newest entry counts, scopes are looked up in
the order of the token, content has signed URLs that accept no other authorization, and requests
can be limited.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from base64 import urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from lamina.objectstores.actions import ActionsConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SERVICE = "/twirp/github.actions.results.api.v1.CacheService/"
REPOSITORY = "octo/app"
GITHUB_TOKEN = "ghs_test"


def token(*scopes: tuple[str, int], expires: float = 3600.0) -> str:
    """A runtime token with scopes: (name, permission), where 1 is read and 3 read and write."""
    listed = [{"Scope": name, "Permission": permission} for name, permission in scopes]
    now = time.time()
    claims = {"ac": json.dumps(listed), "exp": int(now + expires), "nbf": int(now - 60)}
    parts = ({"alg": "none"}, claims)
    coded = [urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts]
    return ".".join((*coded, "c2lnbmF0dXJl"))


class Entry:
    def __init__(self, scope: str, key: str, version: str) -> None:
        self.scope, self.key, self.version = scope, key, version
        self.data = b""
        self.blocks: dict[str, bytes] = {}
        self.finished = 0.0


class ActionsServer:
    """`limited` is the number of further requests that are answered with 429."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.entries: list[Entry] = []
        self.requests: list[str] = []
        self.limited = 0
        self.retry_after: str | None = "0"
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.answer(self)

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def config(self, *scopes: tuple[str, int], listed: bool = True) -> ActionsConfig:
        """The configuration of a client with these scopes."""
        chosen = scopes or (("refs/heads/main", 3),)
        github = (REPOSITORY, GITHUB_TOKEN) if listed else ("", "")
        return ActionsConfig(self.url, token(*chosen), *github, f"{self.url}/api")

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        with self.lock:
            self.requests.append(f"{request.command} {parts.path}")
            if self.limited > 0:
                self.limited -= 1
                retry = {} if self.retry_after is None else {"Retry-After": self.retry_after}
                self._send(request, 429, b'{"code":"resource_exhausted","msg":"slow"}', retry)
                return
            if parts.path.startswith(_SERVICE):
                status, document = self._call(
                    parts.path.removeprefix(_SERVICE), request, json.loads(body)
                )
                self._send(request, status, json.dumps(document).encode())
            elif parts.path.startswith("/api/"):
                self._rest(request, query)
            else:
                self._blob(request, parts.path, query, body)

    def _call(
        self, method: str, request: BaseHTTPRequestHandler, asked: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not bearer:
            return 401, {"code": "unauthenticated", "msg": "no token"}
        from lamina.objectstores.actions import scopes_of

        scopes = scopes_of(bearer)
        own = [scope.name for scope in scopes if scope.writable]
        key, version = asked["key"], asked["version"]
        if len(key) > 512 or "," in key:
            return 400, {"code": "invalid_argument", "msg": "invalid key"}
        if method == "CreateCacheEntry":
            if not own:
                return 403, {"code": "permission_denied", "msg": "read-only token"}
            if self._find(own[0], key, version) is not None:
                return 409, {"code": "already_exists", "msg": "cache entry already exists"}
            self.entries.append(Entry(own[0], key, version))
            return 200, {"ok": True, "signed_upload_url": self._signed(len(self.entries) - 1)}
        if method == "FinalizeCacheEntryUpload":
            entry = self._find(own[0], key, version)
            if entry is None or len(entry.data) != int(asked["size_bytes"]):
                return 400, {"code": "invalid_argument", "msg": "size mismatch"}
            entry.finished = time.time()
            return 200, {"ok": True, "entry_id": str(self.entries.index(entry))}
        if method == "GetCacheEntryDownloadURL":
            for scope in scopes:
                for wanted in (key, *asked.get("restore_keys", ())):
                    found = self._newest(scope.name, wanted, version)
                    if found is not None:
                        url = self._signed(self.entries.index(found))
                        return 200, {
                            "ok": True,
                            "signed_download_url": url,
                            "matched_key": found.key,
                        }
            return 200, {"ok": False, "signed_download_url": "", "matched_key": ""}
        return 404, {"code": "bad_route", "msg": method}

    def _find(self, scope: str, key: str, version: str) -> Entry | None:
        for entry in self.entries:
            if (entry.scope, entry.key, entry.version) == (scope, key, version):
                return entry
        return None

    def _newest(self, scope: str, prefix: str, version: str) -> Entry | None:
        found = [
            entry
            for entry in self.entries
            if entry.finished
            and (entry.scope, entry.version) == (scope, version)
            and entry.key.startswith(prefix)
        ]
        exact = [entry for entry in found if entry.key == prefix]
        return max(exact or found, key=lambda entry: entry.finished, default=None)

    def _signed(self, number: int) -> str:
        return f"{self.url}/blobs/{number}?sig=c2ln%3D&se=later"

    def _rest(self, request: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        if request.headers.get("Authorization") != f"Bearer {GITHUB_TOKEN}":
            self._send(request, 401, b'{"message":"Bad credentials"}')
            return
        prefix = query.get("key", "")
        if request.command == "DELETE":
            before = len(self.entries)
            for entry in self.entries:
                if entry.key == prefix:
                    entry.finished, entry.key = 0.0, ""
            self._send(request, 200 if before else 404, b"{}")
            return
        finished = [entry for entry in self.entries if entry.finished]
        listed = [entry for entry in finished if entry.key.startswith(prefix)]
        size = int(query.get("per_page", "30"))
        start = (int(query.get("page", "1")) - 1) * size
        document = {
            "total_count": len(listed),
            "actions_caches": [
                {
                    "key": entry.key,
                    "size_in_bytes": len(entry.data),
                    "last_accessed_at": "2026-01-01T00:00:00.0000000Z",
                }
                for entry in listed[start : start + size]
            ],
        }
        self._send(request, 200, json.dumps(document).encode())

    def _blob(
        self, request: BaseHTTPRequestHandler, path: str, query: dict[str, str], body: bytes
    ) -> None:
        if request.headers.get("Authorization") or query.get("sig") != "c2ln=":
            self._send(request, 403, b"<Error><Code>AuthenticationFailed</Code></Error>")
            return
        entry = self.entries[int(path.rpartition("/")[2])]
        if request.command == "PUT":
            if query.get("comp") == "block":
                entry.blocks[query["blockid"]] = body
            elif query.get("comp") == "blocklist":
                names = body.decode().replace("</Latest>", "<Latest>").split("<Latest>")[1::2]
                entry.data = b"".join(entry.blocks[unquote(name)] for name in names)
            else:
                entry.data = body
            self._send(request, 201, b"")
            return
        if query.get("comp"):
            self._send(request, 403, b"<Error><Code>AuthorizationPermissionMismatch</Code></Error>")
            return
        ranged = request.headers.get("Range") or request.headers.get("x-ms-range") or ""
        if not ranged:
            self._send(request, 200, entry.data)
            return
        first, _, last = ranged.removeprefix("bytes=").partition("-")
        end = min(int(last), len(entry.data) - 1) if last else len(entry.data) - 1
        covered = f"bytes {first}-{end}/{len(entry.data)}"
        data = entry.data[int(first) : end + 1]
        self._send(request, 206, data, {"Content-Range": covered})

    @staticmethod
    def _send(
        request: BaseHTTPRequestHandler,
        status: int,
        data: bytes,
        headers: dict[str, str] | None = None,
    ) -> None:
        request.send_response(status)
        sent = {"Content-Length": str(len(data)), "x-ms-request-id": "1", **(headers or {})}
        for name, value in sent.items():
            request.send_header(name, value)
        request.end_headers()
        with contextlib.suppress(BrokenPipeError):  # the client has given up
            request.wfile.write(data)


@contextlib.contextmanager
def running_server() -> Iterator[ActionsServer]:
    """A server for the block."""
    server = ActionsServer()
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def running_actions(_folder: Path) -> Iterator[ActionsConfig]:
    """The configuration for a server with one writable scope."""
    with running_server() as server:
        yield server.config()
