"""`--build-context`, for a build in this process and in a daemon."""

from __future__ import annotations

import json
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina


@pytest.fixture
def layout(builder: Lamina, tmp_path: Path) -> Path:
    """A layout with one image, which has no tag and contains the file `layout`."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base/Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /layout\n")
    folder = tmp_path / "host:5000 @x"
    builder.build(tmp_path / "base", "-o", f'type=oci,tar=false,"dest={folder}"')
    return folder


@pytest.mark.parametrize("name", ["context", "dockerfile"])
def test_a_context_called_as_a_main_one_is_beside_it(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("named")
    folder = context(
        f"FROM {name}\nCOPY --from={name} file /copied\nCOPY file /main\n", {"file": "main"}
    )
    out = tmp_path / "out"
    builder.build(folder, f"--build-context={name}={other}", "-o", str(out))
    assert {path.name: path.read_text() for path in out.iterdir()} == {
        "file": "named",
        "copied": "named",
        "main": "main",
    }


def test_a_stage_called_context_stays(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("FROM scratch AS context\nCOPY Dockerfile /stage\nFROM context\n")
    other = tmp_path / "other"
    other.mkdir()
    builder.build(folder, f"--build-context=context={other}", "-o", str(tmp_path / "out"))
    assert (tmp_path / "out/stage").exists()


def test_a_layout_called_context(
    builder: Lamina, context: Callable[..., Path], layout: Path, tmp_path: Path
) -> None:
    folder = context("FROM context\nCOPY file /main\n", {"file": "main"})
    out = tmp_path / "out"
    builder.build(folder, f"--build-context=context=oci-layout://{layout}", "-o", str(out))
    assert {path.name for path in out.iterdir()} == {"layout", "main"}


@pytest.mark.parametrize("name", ["Base", "docker.io/library/base:latest", "base::linux/amd64"])
def test_names_of_any_case_and_length(
    builder: Lamina, context: Callable[..., Path], layout: Path, tmp_path: Path, name: str
) -> None:
    folder = context("FROM base\n", {})
    (folder / "Dockerfile").write_text("FROM scratch AS Base\nFROM base\n")
    where = f"--build-context={name}=oci-layout://{layout}"
    builder.build(folder, where, "--platform=linux/amd64", "-o", str(tmp_path / "out"))
    assert (tmp_path / "out/layout").exists()


@pytest.mark.parametrize("tag", ["", ":latest", ":1"])
def test_the_only_image_of_a_layout_needs_no_tag(
    builder: Lamina, context: Callable[..., Path], layout: Path, tmp_path: Path, tag: str
) -> None:
    folder = context("FROM image\n")
    where = f"--build-context=image=oci-layout://{layout}{tag}"
    builder.build(folder, where, "-o", str(tmp_path / "out"))
    assert (tmp_path / "out/layout").exists()


def test_an_image_of_several_by_tag_and_by_digest(
    builder: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    layout = tmp_path / "layout"
    for tag in ("1", "2"):
        folder = context(f"FROM scratch\nCOPY Dockerfile /of-{tag}\n")
        output = f"type=oci,tar=false,dest={layout},name=registry.example:5000/a:{tag}"
        builder.build(folder, "-o", output)
    entries = json.loads((layout / "index.json").read_text())["manifests"]
    folder = context("FROM image\n")
    for name, wanted in (
        (":1", "of-1"),
        (":2", "of-2"),
        (f"@{entries[0]['digest']}", "of-1"),
        (f":2@{entries[0]['digest']}", "of-1"),
    ):
        out = tmp_path / f"out{name}"
        builder.build(folder, f"--build-context=image=oci-layout://{layout}{name}", "-o", str(out))
        assert [path.name for path in out.iterdir()] == [wanted]
    for name, told in ((":3", "has no image 3"), (f"@sha256:{'0' * 64}", "0" * 64)):
        done = builder("build", f"--build-context=image=oci-layout://{layout}{name}", str(folder))
        assert done.code == 1
        assert told in done.err


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The URL of a server for the directory `web`."""
    (tmp_path / "web").mkdir()
    handler = partial(QuietHandler, directory=str(tmp_path / "web"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_file_of_a_server(
    builder: Lamina, context: Callable[..., Path], web: str, tmp_path: Path
) -> None:
    (tmp_path / "web/file").write_text("from the server")
    folder = context("FROM scratch\nCOPY --from=src context /copied\n")
    out = tmp_path / "out"
    builder.build(folder, f"--build-context=src={web}/file", "-o", str(out))
    assert (out / "copied").read_text() == "from the server"
    done = builder("build", f"--build-context=src={web}/missing", str(folder))
    assert done.code == 1
    assert f"{web}/missing" in done.err
    assert "404" in done.err


def test_a_git_repository(
    builder: Lamina, context: Callable[..., Path], web: str, tmp_path: Path
) -> None:
    work, bare = tmp_path / "work", tmp_path / "web/name.git"
    work.mkdir()
    (work / "file").write_text("from the repository")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    for command in (
        ("init", "-q", "-b", "main"),
        ("add", "file"),
        (*identity, "commit", "-q", "-m", "one"),
        ("clone", "-q", "--bare", ".", str(bare)),
        ("--git-dir", str(bare), "update-server-info"),
    ):
        subprocess.run(["git", *command], check=True, cwd=work)
    folder = context("FROM scratch\nCOPY --from=src file /copied\n")
    out = tmp_path / "out"
    builder.build(folder, f"--build-context=src={web}/name.git#main", "-o", str(out))
    assert (out / "copied").read_text() == "from the repository"
