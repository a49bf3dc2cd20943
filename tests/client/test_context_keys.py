"""Contexts that are not directories have the keys of their sources, embedded and in a daemon.

Caches of one serve the other, also for copies of the whole context.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.commands import Lamina, RemoteLamina
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCKERFILE = "FROM scratch\nCOPY . /all/\nCOPY file /one/\n"
FILES = {"Dockerfile": DOCKERFILE, "file": "one", "d/other": "two"}


def _git(folder: Path, *arguments: str) -> None:
    identity = {
        f"GIT_{who}_{what}": "x@y" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    command = ["git", "-C", str(folder), *arguments]
    subprocess.run(command, env={**os.environ, **identity}, check=True, capture_output=True)


def _archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in FILES.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(text), 1_500_000_000
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A web server with a repository and an archive."""
    web = tmp_path / "web"
    work = web / "work"
    for name, text in FILES.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    _git(work, "init", "-q", "-b", "main")
    _git(work, "add", "-A")
    _git(work, "commit", "-qm", "first")
    _git(web, "clone", "-q", "--bare", "work", "repo.git")
    _git(web / "repo.git", "update-server-info")
    (web / "context.tgz").write_bytes(_archive())

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(web))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("kind", ["repo.git", "context.tgz", "-"])
@pytest.mark.parametrize("first", ["embedded", "daemon"])
def test_caches_serve_embedded_builds_and_daemons_alike(
    served: str, tmp_path: Path, kind: str, first: str
) -> None:
    context = kind if kind == "-" else f"{served}/{kind}"
    stdin = _archive() if kind == "-" else b""
    cache = tmp_path / "cache"
    with DaemonProcess(tmp_path / "daemon") as daemon:
        builders = [Lamina(tmp_path / "store"), RemoteLamina(tmp_path, daemon.address)]
        if first == "daemon":
            builders.reverse()
        for number, builder in enumerate(builders):
            out = tmp_path / f"out{number}"
            done = builder(
                *("build", "--progress=plain", "-o", str(out)),
                *(f"--cache-to=type=local,dest={cache},mode=max",) * (number == 0),
                *(f"--cache-from=type=local,src={cache}",) * (number == 1),
                context,
                stdin=stdin,
            )
            assert done.code == 0, done.err
            assert (out / "all/d/other").read_text() == "two"
            assert (out / "one/file").read_text() == "one"
        copies = [line.split()[0] for line in done.err.splitlines() if "] COPY" in line]
        assert len(set(copies)) == 2
        for step in set(copies):
            assert f"{step} CACHED" in done.err, done.err


def test_a_layout_beside_a_context_that_is_no_folder(tmp_path: Path) -> None:
    lamina = Lamina(tmp_path / "store")
    layout = tmp_path / "layout"
    base = tmp_path / "base"
    base.mkdir()
    (base / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /from-base\n")
    lamina.build(base, "--builder=", "-o", f"type=oci,tar=false,dest={layout}")
    (base / "Dockerfile").write_text("FROM base\nCOPY Dockerfile /own\n")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(base / "Dockerfile", "Dockerfile")
    out = tmp_path / "out"
    done = lamina(
        *(
            "build",
            "--builder=",
            "-o",
            str(out),
            f"--build-context=base=oci-layout://{layout}",
            "-",
        ),
        stdin=buffer.getvalue(),
    )
    assert done.code == 0, done.err
    assert sorted(path.name for path in out.iterdir()) == ["from-base", "own"]
