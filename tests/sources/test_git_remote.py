"""Resolving git URLs with real repositories, over plain HTTP files and `git http-backend`."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from base64 import b64encode
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from lamina.base.errors import Corrupt, InvalidInput, LaminaError, NotFound, Unsupported
from lamina.base.git_url import GitUrl, parse_git_url
from lamina.sources.git import git_access_of, git_url_of
from lamina.sources.git_command import GitAccess
from lamina.sources.git_remote import GitRemote
from lamina.sources.pins import BuildPins
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Serve = Callable[..., str]


class Client:
    """Provides secrets and agents, and records which secrets were requested."""

    id = ""

    def __init__(
        self, secrets: Mapping[str, bytes] | None = None, agent: str | None = None
    ) -> None:
        self._secrets = secrets or {}
        self._agent = agent
        self.asked: list[str] = []

    def secret(self, secret_id: str, cancel: Cancellation) -> bytes | None:
        self.asked.append(secret_id)
        return self._secrets.get(secret_id)

    def ssh_socket(self, agent_id: str, cancel: Cancellation) -> str | None:
        return self._agent


def git(folder: Path, *arguments: str) -> str:
    identity = {
        f"GIT_{who}_{what}": "x@y" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    times = {"GIT_COMMITTER_DATE": "@1500000000 +0000", "GIT_ALLOW_PROTOCOL": "file:http"}
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(
        command, env={**os.environ, **identity, **times}, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def make_repository(folder: Path, *, kind: str = "sha1") -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main", f"--object-format={kind}")
    for text in ("one", "two", "three"):
        (folder / "file").write_text(text)
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", text)
        git(folder, "tag", f"light-{text}")
        git(folder, "tag", "-a", f"heavy-{text}", "-m", text)
    git(folder, "branch", "both", "light-one")
    git(folder, "tag", "both", "light-two")
    git(folder, "update-server-info")
    return folder


class Files(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


class Backend(BaseHTTPRequestHandler):
    """`git http-backend` with a password."""

    expected = b64encode(b"me:s%3acret").decode()
    root = ""

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != f"Basic {self.expected}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        environ = {
            **os.environ,
            "GIT_PROJECT_ROOT": self.root,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        done = subprocess.run(
            ["git", "http-backend"], env=environ, input=body, capture_output=True, check=False
        )
        head, _, payload = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_POST = do_GET


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def dumb(tmp_path: Path) -> Iterator[str]:
    """A file server for the repositories in `served`, without shallow clones."""
    (tmp_path / "served").mkdir()
    with serving(lambda *a: Files(*a, directory=str(tmp_path / "served"))) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def smart(tmp_path: Path) -> Iterator[str]:
    """A server that accepts `me` with the password `s%3acret`."""
    handler = type("Backend", (Backend,), {"root": str(tmp_path / "served")})
    with serving(handler) as port:
        yield f"127.0.0.1:{port}"


class Opened:
    def __init__(self, tmp_path: Path) -> None:
        self.scratch = tmp_path / "scratch"
        self.kept = tmp_path / "kept"
        self.client = Client()
        self.count = 0
        self.pins: BuildPins | None = None
        for folder in (self.scratch, self.kept):
            folder.mkdir()

    def remote(self, url: str | GitUrl, access: GitAccess | None = None) -> GitRemote:
        parsed = parse_git_url(url) if isinstance(url, str) else url
        kept, scratch = str(self.kept), str(self.scratch)
        client: Any = self.client  # the part of a session that git needs
        return GitRemote(parsed, kept, scratch, client, access or GitAccess(), self.pins)

    def check_out(self, url: str | GitUrl) -> Path:
        from pathlib import Path

        remote = self.remote(url)
        remote.resolve(Cancellation())
        self.count += 1
        return Path(remote.check_out(str(self.scratch / f"work{self.count}"), Cancellation()))


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    return Opened(tmp_path)


@pytest.mark.parametrize("kind", ["sha1", "sha256"])
def test_refs_on_a_server_of_files(tmp_path: Path, dumb: str, opened: Opened, kind: str) -> None:
    folder = make_repository(tmp_path / "served/x", kind=kind)
    url = f"{dumb}/x/.git"
    second = git(folder, "rev-parse", "light-two")
    for text, content, name in (
        (url, "three", "refs/heads/main"),
        (f"{url}#light-one", "one", "refs/tags/light-one"),
        (f"{url}#both", "one", "refs/heads/both"),
        (f"{url}?tag=both", "two", "refs/tags/both"),
        (f"{url}#{second}", "two", second),
        (f"{url}?tag=heavy-two&commit={second[:9].upper()}", "two", "refs/tags/heavy-two"),
        (f"{url}?fetch-by-commit&ref=gone&commit={second}", "two", "refs/heads/gone"),
    ):
        remote = opened.remote(text)
        remote.resolve(Cancellation())
        assert remote.name == name
        assert (opened.check_out(text) / "file").read_text() == content
        assert not (opened.check_out(text) / ".git").exists()


def test_an_annotated_tag_is_its_own_object(tmp_path: Path, dumb: str, opened: Opened) -> None:
    folder = make_repository(tmp_path / "served/x")
    remote = opened.remote(f"{dumb}/x/.git#heavy-two")
    remote.resolve(Cancellation())
    assert remote.commit == git(folder, "rev-parse", "heavy-two")
    assert remote.peeled == git(folder, "rev-parse", "light-two")
    commit, tag = remote.objects(Cancellation())
    assert commit.startswith(b"tree ")
    assert tag.startswith(b"object " + remote.peeled.encode())
    assert remote.commit_time(Cancellation()) == 1_500_000_000
    named = opened.remote(f"{dumb}/x/.git#{remote.commit}")
    named.resolve(Cancellation())
    assert named.objects(Cancellation()) == (commit, tag)
    assert named.peeled == remote.peeled


def test_the_git_directory_as_it_is_kept(tmp_path: Path, dumb: str, opened: Opened) -> None:
    folder = make_repository(tmp_path / "served/x")
    at = dumb.replace("http://", "http://me:secret@") + "/x/.git"
    for ref, kept, beside in (
        ("both", "refs/heads/both", "refs/tags/both"),
        ("heads/both", "refs/heads/both", "refs/tags/heads/both"),
        ("light-two", "refs/tags/light-two", "refs/heads/light-two"),
        ("refs/tags/light-two", "refs/tags/light-two", ""),
        ("heavy-two", "refs/tags/heavy-two", ""),
        (git(folder, "rev-parse", "light-two"), "", ""),
        ("", "refs/heads/main", "refs/tags/main"),
    ):
        out = opened.check_out(GitUrl(at, ref, keep_git_dir=True))
        names = git(out, "for-each-ref", "--format=%(refname)").split()
        assert names == sorted(name for name in (kept, beside) if name)
        assert git(out, "rev-parse", "HEAD") == git(folder, "rev-parse", f"{kept or ref}^{{}}")
        assert git(out, "status", "--short") == ""
        assert git(out, "rev-list", "--count", "HEAD") == "1"
        assert git(out, "remote", "get-url", "origin") == f"{dumb}/x/.git"
        assert not (out / ".git/FETCH_HEAD").exists()
        everything = b"".join(p.read_bytes() for p in out.rglob("*") if p.is_file())
        assert b"secret" not in everything
        assert os.fsencode(tmp_path) not in everything


def test_a_moved_tag_and_a_ref_that_became_a_folder(
    tmp_path: Path, dumb: str, opened: Opened
) -> None:
    folder = make_repository(tmp_path / "served/x")
    at = f"{dumb}/x/.git"
    assert (opened.check_out(f"{at}#light-one") / "file").read_text() == "one"
    assert (opened.check_out(f"{at}#both") / "file").read_text() == "one"
    git(folder, "tag", "-f", "light-one", "light-three")
    git(folder, "branch", "-D", "both")
    git(folder, "branch", "both/deeper", "light-two")
    git(folder, "tag", "-d", "both")
    git(folder, "update-server-info")
    assert (opened.check_out(f"{at}#light-one") / "file").read_text() == "three"
    assert (opened.check_out(f"{at}#both/deeper") / "file").read_text() == "two"


def test_a_build_sees_one_commit_of_a_ref(tmp_path: Path, dumb: str, opened: Opened) -> None:
    repository = make_repository(tmp_path / "served/x")
    opened.pins = BuildPins()
    urls = [f"{dumb}/x/.git{ref}" for ref in ("", "#light-one", "#heavy-one")]
    before = [(opened.check_out(url) / "file").read_text() for url in urls]
    (repository / "file").write_text("four")
    git(repository, "commit", "-qam", "four")
    git(repository, "tag", "-f", "light-one")
    git(repository, "tag", "-f", "heavy-one")
    git(repository, "update-server-info")
    assert [(opened.check_out(url) / "file").read_text() for url in urls] == before
    assert before == ["three", "one", "one"]
    head = git(repository, "rev-parse", "HEAD")
    moved = opened.remote(f"{urls[1]}?".replace("#light-one?", f"?checksum={head[:9]}#light-one"))
    moved.resolve(Cancellation())
    assert moved.commit == head
    opened.pins = None  # the next build
    assert [(opened.check_out(url) / "file").read_text() for url in urls] == ["four"] * 3


@pytest.mark.parametrize("server", ["http://{dumb}", "http://me:s%253acret@{smart}"])
def test_a_tag_that_moved_before_its_commit_was_fetched(
    tmp_path: Path, dumb: str, smart: str, opened: Opened, server: str
) -> None:
    repository = make_repository(tmp_path / "served/x")
    address = server.format(dumb=dumb.removeprefix("http://"), smart=smart)
    remote = opened.remote(f"{address}/x/.git#heavy-one")
    remote.resolve(Cancellation())
    commit = git(repository, "rev-parse", "heavy-one^{}")
    git(repository, "tag", "-f", "heavy-one")
    git(repository, "prune", "--expire=now")  # the tag object is gone
    git(repository, "update-server-info")
    with pytest.raises(LaminaError):
        remote.objects(Cancellation())
    work = opened.scratch / "work"
    remote.check_out(str(work), Cancellation())
    assert (work / "file").read_text() == "one"
    assert remote.commit == commit


def test_submodules_of_servers_that_cannot_cut(tmp_path: Path, dumb: str, opened: Opened) -> None:
    make_repository(tmp_path / "served/inner")
    outer = make_repository(tmp_path / "served/outer")
    git(outer, "remote", "add", "origin", f"{dumb}/outer/.git")
    git(outer, "submodule", "--quiet", "add", f"{dumb}/inner/.git", "absolute")
    git(outer, "submodule", "--quiet", "add", "../../inner/.git", "relative")
    git(outer, "commit", "-qm", "submodules")
    git(outer, "update-server-info")
    out = opened.check_out(f"{dumb}/outer/.git")
    assert (out / "absolute/file").read_text() == "three"
    assert (out / "relative/file").read_text() == "three"
    assert not list(out.rglob(".git"))
    without = opened.check_out(f"{dumb}/outer/.git?submodules=0")
    assert os.listdir(without / "absolute") == []


def test_names_and_passwords_stay_out_of_sight(
    tmp_path: Path, smart: str, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_repository(tmp_path / "served/x")
    real = shutil.which("git")
    wrapper = tmp_path / "bin/git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/commands\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    out = opened.check_out(GitUrl(f"http://me:s%253acret@{smart}/x/.git", keep_git_dir=True))
    assert (out / "file").read_text() == "three"
    assert opened.client.asked == []
    with pytest.raises(LaminaError) as caught:
        opened.check_out(f"http://me:wrong@{smart}/x/.git")
    assert "wrong" not in f"{caught.value} {caught.value.hint}"
    assert "xxxxx:xxxxx@" in str(caught.value)
    commands = (tmp_path / "commands").read_text()
    assert f"http://{smart}/x/.git" in commands
    assert "cret" not in commands
    assert "wrong" not in commands


def test_secrets_that_let_in(tmp_path: Path, smart: str, opened: Opened) -> None:
    make_repository(tmp_path / "served/x")
    header = f"basic {Backend.expected}".replace("basic", "Basic").encode()
    for secrets, access in (
        ({"GIT_AUTH_HEADER": header}, GitAccess()),
        ({f"GIT_AUTH_HEADER.{smart}": header, "GIT_AUTH_HEADER": b"Basic no"}, GitAccess()),
        ({"mine": header}, GitAccess(header_secret="mine")),
    ):
        opened.client = Client(secrets)
        remote = opened.remote(f"http://{smart}/x/.git", access)
        remote.resolve(Cancellation())
        assert remote.name == "refs/heads/main"
    opened.client = Client({"GIT_AUTH_TOKEN": b"no such token"})
    with pytest.raises(LaminaError) as caught:
        opened.check_out(f"http://{smart}/x/.git")
    assert "no such token" not in str(caught.value)
    host = smart
    assert opened.client.asked == [
        f"GIT_AUTH_HEADER.{host}",
        f"GIT_AUTH_TOKEN.{host}",
        "GIT_AUTH_HEADER",
        "GIT_AUTH_TOKEN",
    ]


@pytest.mark.parametrize(
    ("rest", "kind", "said"),
    [
        ("#nope", NotFound, "repository does not contain ref nope"),
        ("?branch=light-one", NotFound, "does not contain ref refs/heads/light-one"),
        ("?tag=light-one&commit=0123", Corrupt, "expected checksum to match 0123, got "),
        ("?commit=foobar", InvalidInput, "expected hex commit hash"),
        ("?fetch-by-commit&commit=0123", InvalidInput, "fetch-by-commit requires a full commit"),
        (f"#{'1' * 40}", NotFound, f"has no commit {'1' * 40}"),
        ("#main:nowhere", NotFound, "has no directory nowhere"),
        ("#main:file", NotFound, "has no directory file"),
        ("#main:out/etc", InvalidInput, "invalid subdir"),
        ("#main:in", InvalidInput, "invalid subdir"),
    ],
)
def test_invalid_addresses_and_refs(
    tmp_path: Path, dumb: str, opened: Opened, rest: str, kind: type[LaminaError], said: str
) -> None:
    folder = make_repository(tmp_path / "served/x")
    (folder / "out").symlink_to("/")
    (folder / "in").symlink_to(".")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "links")
    git(folder, "update-server-info")
    with pytest.raises(kind, match=said):
        opened.check_out(f"{dumb}/x/.git{rest}")


def test_ssh_uses_the_named_agent(opened: Opened, tmp_path: Path) -> None:
    remote = opened.remote("git@127.0.0.1:x", GitAccess(agent="work", known_hosts="h ssh-rsa A"))
    with pytest.raises(NotFound, match='no SSH key "work" forwarded from the client'):
        remote.resolve(Cancellation())


def test_attributes_of_definitions() -> None:
    attrs = {
        "git.fullurl": "git@h:o/x",
        "git.mtime": "commit",
        "git.fetchbycommit": "true",
        "git.keepgitdir": "true",
        "git.skipsubmodules": "true",
        "git.checksum": "ab",
        "git.authtokensecret": "t",
        "git.mountsshsock": "a",
    }
    url = git_url_of("h/o/x#b:s", attrs)
    assert url == GitUrl("git@h:o/x", "b", "s", "ab", True, False, "commit", by_commit=True)
    assert git_access_of(attrs) == GitAccess("t", "", "", "a")
    assert git_url_of("h/x", {}).remote == "https://h/x"
    for key in ("git.sig.pubkey", "git.sig.requiresignedtag"):
        with pytest.raises(Unsupported, match=key):
            git_url_of("h/x", {key: "true"})
    for place, more, said in (
        ("h/x", {"git.bundle": "b"}, "requires git.checksum"),
        (f"h/x#{'a' * 40}", {"git.bundle": "b", "git.checksum": "b" * 40}, "expected checksum"),
        ("h/x", {"git.checkoutbundle": "true", "git.keepgitdir": "true"}, "git.keepgitdir"),
        ("h/x#main:folder", {"git.checkoutbundle": "true"}, "git.subdir"),
    ):
        with pytest.raises(InvalidInput, match=said):
            git_url_of(place, more)
