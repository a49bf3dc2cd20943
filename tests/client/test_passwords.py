"""Names and passwords in URLs are used, but shown nowhere."""

from __future__ import annotations

import base64
import http.server
import io
import tarfile
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.commands import RemoteLamina

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina

PASSWORD = "s3cr3t-w0rd"
DOCKERFILE = "FROM scratch\nADD {}/file /\n"


@contextmanager
def guarded(pages: dict[str, bytes]) -> Iterator[int]:
    """A server whose pages only one user gets. Returns its port."""
    wanted = "Basic " + base64.b64encode(f"user:{PASSWORD}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers.get("Authorization") == wanted
            page = pages.get(self.path)
            self.send_response(401 if not known else 404 if page is None else 200)
            body = page if known and page is not None else b""
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def leaks(folder: Path) -> list[str]:
    """The files below a directory that contain the password, plain or in base64."""
    encoded = {base64.b64encode(b" " * n + PASSWORD.encode())[n + 1 : 12] for n in range(3)}
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if PASSWORD.encode() in data or any(part in data for part in encoded):
                found.append(str(path))
    return found


@pytest.fixture
def site() -> Iterator[str]:
    pages = {"/file": b"content"}
    with guarded(pages) as port:
        site = f"http://user:{PASSWORD}@127.0.0.1:{port}"
        text = DOCKERFILE.format(site).encode()
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            member = tarfile.TarInfo("Dockerfile")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
        pages |= {"/Dockerfile": text, "/context.tgz": buffer.getvalue()}
        yield site


@pytest.mark.parametrize("progress", ["plain", "rawjson"])
def test_published_documents_have_no_passwords(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path, site: str, progress: str
) -> None:
    folder = context(
        f"FROM scratch\nARG URL\nADD {site}/file /\nADD $URL /second\n"
        f"COPY <<EOF /third\n{site}\nEOF\n"
    )
    out = tmp_path / "out"
    out.mkdir()
    done = builder(
        *("build", f"--progress={progress}", "--provenance=mode=max"),
        *(f"--build-arg=URL={site}/file", f"--metadata-file={out}/metadata"),
        *("-o", f"type=oci,tar=false,dest={out}/layout", str(folder)),
    )
    assert done.code == 0, done.err
    (out / "log").write_text(done.err)
    assert not leaks(out)


@pytest.mark.parametrize("progress", ["plain", "rawjson"])
def test_errors_and_records_have_no_password(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path, site: str, progress: str
) -> None:
    for text in (
        f"FROM scratch\nADD {site}/missing /\n",
        f"FROM base\nRUN : {site}; false\n",
        f"# {site}\nFROM scratch\nCOPY missing /\n",
        f"FROM scratch\nADD {site}:x/ /\n",
    ):
        done = builder("build", f"--progress={progress}", str(context(text)))
        assert done.code == 1
        log = tmp_path / "log/text"
        log.parent.mkdir(exist_ok=True)
        log.write_text(done.out + done.err)
        assert not leaks(log.parent), done.err
    if isinstance(builder, RemoteLamina):
        kept = leaks(tmp_path / "store")
        assert not [path for path in kept if "/blobs/" in path or "meta.db" in path]


@pytest.mark.parametrize("page", ["Dockerfile", "context.tgz"])
def test_a_context_that_wants_a_login(
    builder: Lamina, tmp_path: Path, site: str, page: str
) -> None:
    out = tmp_path / "out"
    done = builder("build", "--progress=plain", "-o", str(out), f"{site}/{page}")
    assert done.code == 0, done.err
    assert (out / "file").read_text() == "content"
    assert PASSWORD not in done.err
    wrong = site.replace(PASSWORD, "an0ther")
    for address in (f"{wrong}/{page}", f"{site}/missing"):
        done = builder("build", "--progress=plain", address)
        assert done.code == 1
        assert "xxxxx:xxxxx@127.0.0.1" in done.err
        assert PASSWORD not in done.err
        assert "an0ther" not in done.err


def test_a_dockerfile_that_wants_a_login(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path, site: str
) -> None:
    folder = context("FROM scratch\n")
    builder.build(folder, "-f", f"{site}/Dockerfile", "-o", str(tmp_path / "out"))
    assert (tmp_path / "out/file").read_text() == "content"
