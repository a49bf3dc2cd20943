"""Downloads: requests, responses, files, and the use of secrets."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from lamina.base.digest import Digest
from lamina.base.errors import (
    Cancelled,
    Corrupt,
    Exhausted,
    InvalidInput,
    LaminaError,
    NotFound,
    Unavailable,
    Unsupported,
)
from lamina.sources.http import HttpFile, HttpSource, http_file
from lamina.sources.pins import BuildPins
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lamina.refs.plan import FilePlan
    from lamina.refs.ref import Ref


class Page(NamedTuple):
    status: int = 200
    body: bytes = b"content"
    headers: Mapping[str, str] = MappingProxyType({})
    understands: bool = True


class Server:
    """Serves pages, and records requests."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                headers = {key.lower(): value for key, value in self.headers.items()}
                site.asked.append((self.command, self.path, headers))
                page = site.pages.get(self.path, Page(404))
                tag = page.headers.get("ETag")
                same = page.understands and tag and headers.get("if-none-match") == tag
                self.send_response(304 if same else page.status)
                for key, value in page.headers.items():
                    self.send_header(key, value)
                if not same and "Content-Length" not in page.headers:
                    self.send_header("Content-Length", str(len(page.body)))
                self.end_headers()
                if self.command == "GET" and not same:
                    self.wfile.write(page.body)

            do_HEAD = do_GET

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.host}"


@pytest.fixture
def server() -> Iterator[Server]:
    site = Server()
    with site.server:
        thread = threading.Thread(target=site.server.serve_forever)
        thread.start()
        yield site
        site.server.shutdown()
        thread.join()


class Client:
    """A build, and its client's session."""

    id = ""

    def __init__(self, secrets: Mapping[str, bytes], pins: BuildPins | None = None) -> None:
        self._secrets = secrets
        self.pins = pins or BuildPins()
        self.session = self

    def secret(self, secret_id: str, cancel: Cancellation) -> bytes | None:
        return self._secrets.get(secret_id)


class Pool:
    """Receives plans instead of making them."""

    plan: FilePlan

    def commit_plan(self, plan: FilePlan, ref: Ref, description: str) -> Ref:
        self.plan = plan
        return ref


class Context(NamedTuple):
    cancel: Cancellation = Cancellation()


class Downloads:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "http"
        self.scratch = folder / "scratch"
        for made in (self.folder, self.scratch):
            made.mkdir()
        self.secrets: dict[str, bytes] = {}
        self.refs = Pool()
        self.pins: BuildPins | None = None

    def source(self, url: str, **attrs: str) -> HttpSource:
        named = {key.replace("_", "."): value for key, value in attrs.items()}
        client: Any = Client(self.secrets, self.pins)
        refs: Any = self.refs
        return HttpSource(url, http_file(named), str(self.folder), str(self.scratch), refs, client)

    def text(self, url: str, **attrs: str) -> str:
        source = self.source(url, **attrs)
        with open(source.data(source.bring(Cancellation())), encoding="utf-8") as file:
            return file.read()


@pytest.fixture
def downloads(tmp_path: Path) -> Downloads:
    return Downloads(tmp_path)


def test_unchanged_files_are_not_downloaded_again(server: Server, downloads: Downloads) -> None:
    url = f"{server.url}/f"
    for understands in (True, False):
        server.asked.clear()
        for tag in ('"1"', '"1"', 'W/"1"', '"2"'):
            server.pages["/f"] = Page(
                200, tag.encode(), {"ETag": f"{tag}{understands}"}, understands
            )
            downloads.text(url)
        methods = [method for method, _, _ in server.asked]
        assert methods[:2] == ["GET", "HEAD"] if understands else ["HEAD", "GET"]
        assert downloads.text(url) == '"2"'
    assert all("buildkit/v" in headers["user-agent"] for _, _, headers in server.asked)


def test_a_build_sees_one_content_of_a_url(server: Server, downloads: Downloads) -> None:
    url = f"{server.url}/f"
    digest = f"sha256:{hashlib.sha256(b'new').hexdigest()}"
    downloads.pins = BuildPins()
    server.pages["/f"] = Page(body=b"old")
    assert downloads.text(url) == "old"
    server.pages["/f"] = Page(body=b"new")
    assert downloads.text(url) == "old"
    assert len(server.asked) == 1
    assert downloads.text(url, http_checksum=digest) == "new"
    assert downloads.text(url) == "old"
    downloads.pins = None  # the next build
    assert downloads.text(url) == "new"


def test_compressed_responses_are_decompressed(server: Server, downloads: Downloads) -> None:
    text = "many words " * 100_000
    packed = gzip.compress(text.encode())
    server.pages["/f"] = Page(body=packed, headers={"Content-Encoding": "gzip", "ETag": "1"})
    assert downloads.text(f"{server.url}/f") == text
    downloads.text(f"{server.url}/f")
    assert [(m, h["accept-encoding"]) for m, _, h in server.asked] == [
        ("GET", "gzip"),
        ("HEAD", "gzip"),
    ]
    server.pages["/g"] = Page(body=packed)  # a file that is in gzip format itself
    source = downloads.source(f"{server.url}/g")
    with open(source.data(source.bring(Cancellation())), "rb") as file:
        assert file.read() == packed


def test_a_failed_download_leaves_no_files(
    server: Server, downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{server.url}/f"
    server.pages["/f"] = Page(body=b"half", headers={"Content-Length": "8", "Connection": "close"})
    with pytest.raises(Unavailable):
        downloads.text(url)
    server.pages["/f"] = Page(body=b"whole")
    cancel = Cancellation()
    cancel.cancel()
    with pytest.raises(Cancelled):
        downloads.source(url).bring(cancel)
    monkeypatch.setenv("LAMINA_MAX_DOWNLOAD", "4")
    with pytest.raises(Exhausted, match="larger than 4 bytes") as refused:
        downloads.text(url)
    assert "LAMINA_MAX_DOWNLOAD" in refused.value.hint
    assert os.listdir(downloads.scratch) == []
    assert [name for name in os.listdir(downloads.folder) if not name.endswith(".lock")] == []
    monkeypatch.setenv("LAMINA_MAX_DOWNLOAD", "5")
    assert downloads.text(url) == "whole"
    monkeypatch.setenv("LAMINA_MAX_DOWNLOAD", "much")
    with pytest.raises(InvalidInput, match="not a size"):
        downloads.text(url)


def test_last_modified_is_used_without_an_etag(server: Server, downloads: Downloads) -> None:
    stamp = "Sat, 03 Feb 2001 04:05:06 GMT"
    server.pages["/f"] = Page(headers={"Last-Modified": stamp})
    downloads.text(f"{server.url}/f")
    downloads.text(f"{server.url}/f")
    assert [(m, h.get("if-modified-since")) for m, _, h in server.asked] == [
        ("GET", None),
        ("GET", stamp),
    ]


def test_a_checksum_sends_no_request_until_the_file_is_needed(
    server: Server, downloads: Downloads
) -> None:
    server.pages["/f"] = Page(headers={"Last-Modified": "Sat, 03 Feb 2001 04:05:06 GMT"})
    for name in ("sha256", "sha384", "sha512"):
        digest = f"{name}:{hashlib.new(name, b'content').hexdigest()}"
        source = downloads.source(f"{server.url}/f", http_checksum=digest)
        context: Any = Context()
        first = source.cache_map(context)
        asked = len(server.asked)
        source.fetch(context)
        again = downloads.source(f"{server.url}/f", http_checksum=digest)
        assert again.cache_map(context) == first
        again.fetch(context)
        assert len(server.asked) == asked + (1 if name == "sha256" else 0)
        wrong = downloads.source(f"{server.url}/f", http_checksum=digest[:-1] + "0")
        if digest[-1] != "0":
            with pytest.raises(Corrupt, match="digest mismatch"):
                wrong.fetch(context)


def test_names(server: Server, downloads: Downloads) -> None:
    context: Any = Context()
    for path, disposition, attr, expected in (
        ("/a/b.txt", "", "", "b.txt"),
        ("/a/b%20c", "", "", "b c"),
        ("/a/", "", "", "a"),
        ("/", "", "", "download"),
        ("/..", "", "", "download"),
        ("/a", 'attachment; filename="x.tgz"', "", "x.tgz"),
        ("/a", 'attachment; filename="../../etc/passwd"', "", "passwd"),
        ("/a", 'attachment; filename=".."', "", "a"),
        ("/a", "attachment; filename*=UTF-8''%C3%A4", "", "ä"),
        ("/a", 'attachment; filename="x"', "given", "given"),
        ("/a", "", "../given", "given"),
    ):
        headers = {"Content-Disposition": disposition} if disposition else {}
        server.pages[path] = Page(headers=headers)
        source = downloads.source(f"{server.url}{path}", http_filename=attr)
        source.cache_map(context)
        source.fetch(context)
        assert list(downloads.refs.plan.entries) == [expected], (path, disposition, attr)


def test_owner_mode_and_time(server: Server, downloads: Downloads) -> None:
    context: Any = Context()
    server.pages["/f"] = Page(headers={"Last-Modified": "Sat, 03 Feb 2001 04:05:06 GMT"})
    attrs = {"http_perm": "0741", "http_uid": "12", "http_gid": "0x10"}
    source = downloads.source(f"{server.url}/f", **attrs)
    key = source.cache_map(context)
    source.fetch(context)
    file = downloads.refs.plan.entries["f"]
    assert (file.mode & 0o7777, file.uid, file.gid) == (0o741, 12, 16)
    assert file.mtime_ns == 981173106 * 10**9
    assert downloads.source(f"{server.url}/f").cache_map(context) != key


def test_headers_and_secrets(server: Server, downloads: Downloads) -> None:
    server.pages["/f"] = Page()
    headers = {
        "http.header.accept": "a/b",
        "http.header.USER-AGENT": "me",
        "http.header.cookie": "c",
    }
    wanted = http_file(headers)
    assert wanted.headers == (("Accept", "a/b"), ("User-Agent", "me"))
    client: Any = Client({})
    refs: Any = downloads.refs
    folder = str(downloads.folder)
    HttpSource(f"{server.url}/f", wanted, folder, str(downloads.scratch), refs, client).bring(
        Cancellation()
    )
    assert server.asked[-1][2]["accept"] == "a/b"
    assert server.asked[-1][2]["user-agent"] == "me"
    assert "cookie" not in server.asked[-1][2]
    for secrets, attr, sent in (
        ({"mine": b"Basic abc\n"}, "mine", "Basic abc"),
        ({"HTTP_AUTH_TOKEN_127.0.0.1": b"t"}, "", "Bearer t"),
        ({"HTTP_AUTH_HEADER_127.0.0.1": b"x y"}, "", "x y"),
        ({"HTTP_AUTH_HEADER_other": b"x y"}, "", None),
    ):
        downloads.secrets = secrets
        downloads.text(f"{server.url}/f", http_authheadersecret=attr)
        assert server.asked[-1][2].get("authorization") == sent
    with pytest.raises(NotFound, match="failed to retrieve HTTP auth secret none"):
        downloads.text(f"{server.url}/f", http_authheadersecret="none")


def test_credentials_are_not_sent_to_other_hosts(server: Server, downloads: Downloads) -> None:
    other = Server()
    with other.server:
        thread = threading.Thread(target=other.server.serve_forever)
        thread.start()
        other.pages["/g"] = Page(body=b"there")
        server.pages["/here"] = Page(302, headers={"Location": "/g"})
        server.pages["/g"] = Page(body=b"same host")
        server.pages["/away"] = Page(302, headers={"Location": f"{other.url}/g"})
        at = server.url.replace("://", "://me:p%40ss@")
        assert downloads.text(f"{at}/here") == "same host"
        assert server.asked[-1][2]["authorization"] == "Basic bWU6cEBzcw=="
        assert downloads.text(f"{at}/away") == "there"
        assert "authorization" not in other.asked[-1][2]
        with pytest.raises(NotFound) as caught:
            downloads.text(f"{at}/missing")
        assert "ss@" not in str(caught.value)
        other.server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("page", "kind", "said"),
    [
        (Page(302, headers={"Location": "file:///etc/passwd"}), LaminaError, "127.0.0.1"),
        (Page(302, headers={"Location": "ftp://127.0.0.1/x"}), Unavailable, "redirected to ftp"),
        (Page(500), Unavailable, "invalid response status 500"),
        (Page(304), Unavailable, "304"),
        (Page(headers={"Content-Length": "99"}), Unavailable, "127.0.0.1"),
        (Page(404), NotFound, "not found .invalid response status 404"),
        (Page(body=b"x", headers={"Content-Encoding": "gzip"}), Unavailable, "response ended"),
        (
            Page(body=gzip.compress(b"x")[:-3], headers={"Content-Encoding": "gzip"}),
            Unavailable,
            "response ended",
        ),
    ],
)
def test_bad_answers(
    server: Server, downloads: Downloads, page: Page, kind: type[LaminaError], said: str
) -> None:
    server.pages["/f"] = page
    with pytest.raises(kind, match=said):
        downloads.text(f"{server.url}/f")
    assert not [name for name in os.listdir(downloads.folder) if "-" in name]


@pytest.mark.parametrize(
    ("attrs", "kind"),
    [
        ({"http.perm": "rw"}, InvalidInput),
        ({"http.uid": "-1"}, InvalidInput),
        ({"http.checksum": "md5:00"}, InvalidInput),
        ({"http.sig.pubkey": "k"}, Unsupported),
    ],
)
def test_attributes_that_cannot_be(attrs: dict[str, str], kind: type[LaminaError]) -> None:
    with pytest.raises(kind):
        http_file(attrs)


def test_attributes_by_default() -> None:
    assert http_file({"http.perm": "384"}) == HttpFile(perm=0o600)
    digest = Digest(f"sha256:{'0' * 64}")
    assert http_file({"http.checksum": digest}).checksum == digest


@pytest.mark.parametrize("url", ["http://[", "http://h:x/", "http://127.0.0.1:1/"])
def test_addresses_that_lead_nowhere(downloads: Downloads, url: str) -> None:
    with pytest.raises(LaminaError):
        downloads.source(url).bring(Cancellation())
