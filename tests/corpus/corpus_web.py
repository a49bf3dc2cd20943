"""A web server for ADD, as a process: prints its address, serves until it is killed."""

from __future__ import annotations

import io
import tarfile
from http.server import BaseHTTPRequestHandler, HTTPServer


def archive() -> bytes:
    """A tar with one file, always with the same bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        info = tarfile.TarInfo("inside")
        info.size, info.mtime, info.uid = 3, 1_000_000_000, 9
        tar.addfile(info, io.BytesIO(b"in\n"))
    return packed.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Serves every path except `/missing`; some with special headers."""

    def do_GET(self) -> None:
        name = self.path.split("?")[0]
        if name == "/missing":
            self.send_error(404)
            return
        data = archive() if name.endswith(".tgz") else b"from the web\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        if name == "/dated":
            self.send_header("Last-Modified", "Sun, 09 Sep 2001 01:46:40 GMT")
        if name == "/named":
            self.send_header("Content-Disposition", 'attachment; filename="given.txt"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
