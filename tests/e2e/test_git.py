"""ADD of git repositories, from a real git daemon."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina


def git(folder: Path, *arguments: str) -> str:
    identity = {
        f"GIT_{who}_{what}": "x@y" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    environ = {**os.environ, **identity, "GIT_ALLOW_PROTOCOL": "file:git"}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "served" / "repo"
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "sub").mkdir()
    (folder / "file").write_text("one")
    (folder / "sub/run").write_text("two")
    (folder / "sub/run").chmod(0o755)
    (folder / "link").symlink_to("file")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    git(folder, "tag", "-a", "v1", "-m", "v1")
    return folder


@pytest.fixture
def address(repository: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    served = repository.parent
    command = ["git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1"]
    daemon = subprocess.Popen([*command, f"--port={port}", f"--base-path={served}", str(served)])
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"git://127.0.0.1:{port}/repo"
    finally:
        daemon.terminate()
        daemon.wait()


def built(lamina: Lamina, folder: Path, out: Path) -> set[str]:
    lamina.build(folder, "-o", str(out))
    return {str(path.relative_to(out)) for path in out.rglob("*") if ".git/" not in f"{path}"}


def test_refs_folders_and_the_git_directory(
    lamina: Lamina, context: Callable[..., Path], repository: Path, address: str, tmp_path: Path
) -> None:
    commit = git(repository, "rev-parse", "HEAD").strip()
    (repository / "file").write_text("newer")
    git(repository, "commit", "-qam", "second")
    folder = context(
        f"FROM scratch\nADD {address} /head\nADD {address}#v1 /tag\n"
        f"ADD {address}#{commit}:sub /sub\nADD --keep-git-dir {address}?branch=main /kept\n"
    )
    out = tmp_path / "out"
    names = built(lamina, folder, out)
    assert (out / "head/file").read_text() == "newer"
    assert (out / "tag/file").read_text() == "one"
    assert os.readlink(out / "tag/link") == "file"
    assert os.listdir(out / "sub") == ["run"]
    assert (out / "sub/run").stat().st_mode & 0o777 == 0o755
    assert "head/.git" not in names
    # Times are those of the image, so git's output about them is ignored.
    assert git(out / "kept", "rev-parse", "HEAD") == git(repository, "rev-parse", "main")


def test_a_moved_branch_rebuilds_only_steps_that_read_changed_files(
    lamina: Lamina, context: Callable[..., Path], repository: Path, address: str
) -> None:
    folder = context(f"FROM base\nADD {address}#main:sub /x\nRUN cat /x/run > /y\n")
    lamina.build(folder)
    (repository / "file").write_text("not in that folder")
    git(repository, "commit", "-qam", "second")
    log = lamina.build(folder)
    lines = log.splitlines()
    at = next(number for number, line in enumerate(lines) if "RUN cat" in line)
    assert lines[at + 1].endswith("CACHED")  # by content
    (repository / "sub/run").write_text("changed")
    git(repository, "commit", "-qam", "third")
    lamina.build(folder, "-t", "x")
    assert lamina("run", "x", "cat", "/y").out == "changed"
    assert "source.git.checkout" in lamina("du", "--verbose").out
    assert lamina("prune", "-f", "--filter", "type=source.git.checkout").code == 0
    assert "source.git.checkout" not in lamina("du", "--verbose").out
    lamina.build(folder, "--no-cache")


def test_submodules(
    lamina: Lamina, context: Callable[..., Path], repository: Path, address: str, tmp_path: Path
) -> None:
    outer = repository.parent / "outer"
    outer.mkdir()
    git(outer, "init", "-q", "-b", "main")
    git(outer, "submodule", "--quiet", "add", address, "inner")
    git(outer, "commit", "-qm", "outer")
    remote = address.replace("/repo", "/outer")
    out = tmp_path / "out"
    built(lamina, context(f"FROM scratch\nADD {remote} /x\n"), out)
    assert (out / "x/inner/file").read_text() == "one"
    assert not (out / "x/inner/.git").exists()
    built(lamina, context(f"FROM scratch\nADD {remote}?submodules=false /z\n"), out)
    assert not (out / "z/inner/file").exists()


def test_missing_and_changed_refs(
    lamina: Lamina, context: Callable[..., Path], repository: Path, address: str
) -> None:
    for source, said in (
        (f"{address}#nope", "does not contain ref nope"),
        (f"{address}#main:nowhere", "no directory nowhere"),
        (f"--checksum={'0' * 40} {address}", "expected checksum"),
        (f"{address}/absent", "git://"),
        (f"{address}?colour=red", "colour"),
        (f"{address}#--upload-pack=x", "not a ref"),
    ):
        failed = lamina("build", str(context(f"FROM scratch\nADD {source} /x\n")))
        assert failed.code == 1, source
        assert said in failed.err, failed.err
        assert "Traceback" not in failed.err


def test_a_repository_and_a_url_as_the_context(
    lamina: Lamina, repository: Path, address: str, tmp_path: Path
) -> None:
    import io
    import tarfile
    import threading
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    (repository / "sub/Dockerfile").write_text("FROM scratch\nCOPY run /ran\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "Dockerfile")
    out = tmp_path / "out"
    done = lamina("build", "-o", str(out), f"{address}#main:sub")
    assert done.code == 0, done.err
    assert (out / "ran").read_text() == "two"

    web = tmp_path / "web"
    web.mkdir()
    made_of = f"FROM scratch\nCOPY a /b\nADD {address} /repo/\n"
    with tarfile.open(web / "context.tgz", "w:gz") as archive:
        for name, text in (("Dockerfile", made_of), ("a", "by URL")):
            info = tarfile.TarInfo(name)
            info.mtime = 1_500_000_000
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    (web / "Other").write_text("FROM scratch\nCOPY file /other\n")
    handler = partial(SimpleHTTPRequestHandler, directory=str(web))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        done = lamina("build", "-o", str(out), f"{url}/context.tgz")
        assert done.code == 0, done.err
        done = lamina("build", "-o", str(out), "-f", f"{url}/Other", str(repository))
        assert done.code == 0, done.err
        missing = lamina("build", f"{url}/nothing")
        assert missing.code == 1
        assert "404" in missing.err
        server.shutdown()
    assert (out / "b").read_text() == "by URL"
    assert (out / "other").read_text() == "one"


def test_a_context_gives_the_image_its_time(
    lamina: Lamina, repository: Path, address: str, tmp_path: Path
) -> None:
    (repository / "Dockerfile").write_text(
        "FROM scratch AS src\nADD $ADDRESS#v1 /\nFROM scratch\nCOPY file /\n".replace(
            "$ADDRESS", address
        )
    )
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "Dockerfile", "--date=@5 +0000")
    times = [int(git(repository, "log", "-1", "--format=%ct", ref)) for ref in ("main", "v1")]
    for value, seconds in zip(("context", "src"), times, strict=True):
        done = lamina("build", "-t", "x", "--build-arg", f"SOURCE_DATE_EPOCH={value}", address)
        assert done.code == 0, done.err
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
        assert created in lamina("inspect", "x").out
