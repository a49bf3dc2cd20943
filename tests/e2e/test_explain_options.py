"""`lamina explain`: options of builds and instructions, named contexts, and remote sources."""

from __future__ import annotations

import hashlib
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_explain import explained
from tests.e2e.test_git import git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina

_MOUNT = "FROM base\nRUN --mount=type={} true\n"


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which a web server has it."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (["--network=none"], ["--network=default"], "--network changed from none to unset"),
        ([], ["--network=none"], "--network changed from unset to none"),
        ([], ["--ulimit=nofile=64"], "--ulimit added (nofile:64:64)"),
        (["--ulimit=nofile=64"], [], "--ulimit removed (it was nofile:64:64)"),
        ([], ["--shm-size=1m"], "--shm-size added (1048576)"),
        (["--shm-size=1m"], ["--shm-size=2m"], "--shm-size changed from 1048576 to 2097152"),
        ([], ["--add-host=h:10.0.0.1"], "--add-host added (h)"),
        (["--add-host=h:10.0.0.1"], ["--add-host=i:10.0.0.1"], "--add-host changed from h to i"),
        ([], ["--build-arg=BUILDKIT_SANDBOX_HOSTNAME=x"], "host name added (x)"),
    ],
)
def test_options_of_a_build(
    lamina: Lamina,
    context: Callable[..., Path],
    first: list[str],
    second: list[str],
    expected: str,
) -> None:
    folder = context("FROM base\nRUN true\n")
    lamina.build(folder, *first)
    lamina.build(folder, *second)
    assert expected in explained(lamina)["RUN true"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (
            "secret,id=a",
            "secret,id=b",
            "--mount removed (it was type=secret,target=/run/secrets/a,id=a",
        ),
        ("secret,id=a,target=/s", "secret,id=b,target=/s", ",id=a,uid=0,gid=0,mode=0400 to type="),
        ("secret,id=a", "secret,id=a,uid=7", "target=/run/secrets/a,id=a,uid=7"),
        ("secret,id=a,env=A", "secret,id=a,env=B", "secret variables changed from a:A"),
        ("ssh", "ssh,id=x", "--mount"),
        ("ssh", "ssh,mode=0666", "mode=0666"),
        ("tmpfs,target=/t", "tmpfs,target=/t,size=4096", "type=tmpfs,target=/t,size=4096"),
        ("bind,target=/b", "bind,target=/b,rw", "--mount changed from type=bind,target=/b to"),
    ],
)
def test_mounts(
    lamina: Lamina, context: Callable[..., Path], first: str, second: str, expected: str
) -> None:
    lamina.build(context(_MOUNT.format(first)))
    lamina.build(context(_MOUNT.format(second)))
    [found] = explained(lamina).values()
    assert expected in found


def test_addresses_of_hosts_are_no_cause(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base\nRUN true\n")
    lamina.build(folder, "--add-host=h:10.0.0.1")
    lamina.build(folder, "--add-host=h:10.0.0.2")
    assert explained(lamina) == {}


def test_another_platform(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM scratch AS files\nCOPY busybox /b\nFROM base\nRUN true\n")
    lamina.build(folder, "--platform=linux/amd64")
    lamina.build(folder, "--platform=linux/386")
    assert explained(lamina)["RUN true"] == "never built here"  # it is another target
    found = explained(lamina, "--against=^1")
    assert found["RUN true"].startswith("platform changed from linux/amd64 to linux/386")


def test_modes_and_owners(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base\nCOPY src /src\n", {"src/a": "1"})
    lamina.build(folder)
    os.chmod(folder / "src/a", 0o755)
    lamina.build(folder)
    assert explained(lamina) == {
        "COPY src /src": "mode of src/a changed from 0644 to 0755",
    }
    os.chown(folder / "src/a", 7, 8)
    lamina.build(folder)
    assert explained(lamina) == {}  # a context has no owners


def test_a_file_that_became_a_link(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base\nCOPY src /src\n", {"src/a": "1", "src/b": "1"})
    lamina.build(folder)
    (folder / "src/b").unlink()
    (folder / "src/b").symlink_to("a")
    lamina.build(folder)
    assert explained(lamina) == {"COPY src /src": "src/b changed from a file to a link"}
    (folder / "src/b").unlink()
    (folder / "src/b").symlink_to("../a")
    lamina.build(folder)
    assert explained(lamina) == {"COPY src /src": "src/b changed"}


def test_a_named_context(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path, served: tuple[Path, str]
) -> None:
    text = "FROM base\nCOPY --from=named a /a\n"
    folder = context(text)
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    lamina.build(folder, f"--build-context=named={tmp_path}/one")
    lamina.build(folder, f"--build-context=named={tmp_path}/other")
    assert explained(lamina) == {"COPY --from=named a /a": "a changed"}
    (tmp_path / "same").mkdir()
    (tmp_path / "same/a").write_text("other")
    lamina.build(folder, f"--build-context=named={tmp_path}/same")
    assert explained(lamina) == {}


def test_a_git_branch_that_moved(
    lamina: Lamina, context: Callable[..., Path], served: tuple[Path, str]
) -> None:
    repository, address = served
    git(repository, "init", "-q", "-b", "main")
    (repository / "file").write_text("one")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "first")
    git(repository, "update-server-info")
    url = f"{address}/.git#main"
    folder = context(f"FROM base\nADD {url} /r\nRUN cat /r/file\n")
    lamina.build(folder)
    first = git(repository, "rev-parse", "HEAD")
    (repository / "file").write_text("two")
    git(repository, "commit", "-qam", "second")
    git(repository, "update-server-info")
    lamina.build(folder)
    second = git(repository, "rev-parse", "HEAD")
    assert explained(lamina) == {
        f"ADD {url} /r": f"branch main moved from {first[:12]}… to {second[:12]}…",
        "RUN cat /r/file": f"depends on ADD {url} /r, which moved",
    }


def test_a_url_that_has_something_else(
    lamina: Lamina, context: Callable[..., Path], served: tuple[Path, str]
) -> None:
    files, address = served
    (files / "f").write_text("one")
    os.utime(files / "f", (1_000_000_000, 1_000_000_000))
    url = f"{address}/f"
    folder = context(f"FROM base\nADD {url} /f\nRUN cat /f\n")
    lamina.build(folder)
    lamina.build(folder)
    assert explained(lamina) == {}
    (files / "f").write_text("two")
    os.utime(files / "f", (1_000_000_000, 1_100_000_000))
    lamina.build(folder)
    digests = [hashlib.sha256(text).hexdigest()[:12] for text in (b"one", b"two")]
    assert explained(lamina) == {
        f"ADD {url} /f": "content changed from sha256:{}… to sha256:{}…".format(*digests),
        "RUN cat /f": f"depends on ADD {url} /f, which changed",
    }
    os.utime(files / "f", (1_000_000_000, 1_200_000_000))
    lamina.build(folder)
    assert explained(lamina)[f"ADD {url} /f"] == "its source has changed"
