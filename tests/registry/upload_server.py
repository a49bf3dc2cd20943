"""A server for uploads by the distribution specification: chunks can be resumed in their middle.

Debian's registry forgets an upload whose chunk was interrupted, so it cannot be used for that.
"""

from __future__ import annotations

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class UploadServer:
    """Blobs by digest. `faults` are called once each, in order, with every PATCH or PUT that has a
    body; one that returns True has handled the request.

    Args:
        chunks: whether PATCH is supported.
        least: the OCI-Chunk-Min-Length to request.

    `login` is the Authorization that POST requires, `uploads_at` another server for the uploads;
    `watch` is called with every request.
    """

    def __init__(self, *, chunks: bool = True, least: int = 0) -> None:
        self.chunks = chunks
        self.least = least
        self.blobs: dict[str, bytes] = {}
        self.uploads: dict[str, bytearray] = {}
        self.faults: list[Callable[[UploadHandler], bool]] = []
        self.seen: list[str] = []
        self.received = 0
        self.login = ""
        self.uploads_at: UploadServer | None = None
        self.watch: Callable[[UploadHandler], object] = lambda handler: None
        outer = self

        class Bound(UploadHandler):
            owner = outer

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # quiet
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    def __enter__(self) -> UploadServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class UploadHandler(BaseHTTPRequestHandler):
    owner: UploadServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def reply(self, code: int, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def body(self, limit: int | None = None) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length if limit is None else min(limit, length))

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.close()

    def take(self, limit: int | None = None) -> bytearray:
        """Append the body, or the beginning of it, to the upload."""
        upload = self.owner.uploads[self.name]
        data = self.body(limit)
        self.owner.received += len(data)
        upload += data
        return upload

    @property
    def name(self) -> str:
        return self.path.partition("?")[0].rpartition("/")[2]

    def do_HEAD(self) -> None:
        known = self.name in self.owner.blobs
        self.reply(200 if known else 404)

    def do_POST(self) -> None:
        self.owner.watch(self)
        if self.owner.login and self.headers["Authorization"] != self.owner.login:
            self.reply(401, WWW_Authenticate='Basic realm="here"')
            return
        self.owner.seen.append("POST")
        name = f"u{len(self.owner.seen)}"
        if self.owner.uploads_at is not None:
            other = self.owner.uploads_at
            other.uploads[name] = bytearray()
            self.reply(202, Location=f"http://{other.host}/elsewhere/{name}?s=1")
            return
        self.owner.uploads[name] = bytearray()
        least = {"OCI_Chunk_Min_Length": str(self.owner.least)} if self.owner.least else {}
        self.reply(202, Location=f"/v2/a/blobs/uploads/{name}?s=1", Range="0-0", **least)

    def do_GET(self) -> None:
        self.owner.watch(self)
        self.owner.seen.append("GET")
        upload = self.owner.uploads.get(self.name)
        if upload is None:
            self.reply(404)
        else:
            self.reply(204, Range=f"0-{max(0, len(upload) - 1)}", Location=self.path)

    def do_PATCH(self) -> None:
        self.owner.watch(self)
        self.owner.seen.append("PATCH")
        if not self.owner.chunks:
            self.body()
            self.reply(405)
            return
        if self.owner.faults and self.owner.faults.pop(0)(self):
            return
        upload = self.owner.uploads.get(self.name)
        start = re.match(r"(\d+)-", self.headers["Content-Range"])
        if upload is None or start is None or int(start[1]) != len(upload):
            self.body()
            self.reply(404 if upload is None else 416)
            return
        upload = self.take()
        self.reply(202, Range=f"0-{len(upload) - 1}", Location=self.path)

    def do_PUT(self) -> None:
        self.owner.watch(self)
        self.owner.seen.append("PUT")
        if self.owner.faults and self.owner.faults.pop(0)(self):
            return
        if self.name not in self.owner.uploads:
            self.body()
            self.reply(404)
            return
        data = bytes(self.take())
        digest = self.path.partition("digest=")[2]
        if digest != "sha256:" + hashlib.sha256(data).hexdigest():
            self.reply(400)
            return
        self.owner.blobs[digest] = data
        del self.owner.uploads[self.name]
        self.reply(201)
