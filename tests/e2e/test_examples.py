"""The examples of the Python API run, and do what they say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.commands import Lamina
from tests.python_image import copy_python

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = Path(__file__).parents[2] / "examples" / "python"
BUSYBOX = """FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Lamina:
    """A store with the image `busybox`."""
    folder = tmp_path_factory.mktemp("examples")
    store = Lamina(folder / "store")
    context = folder / "context"
    context.mkdir()
    shutil.copy("/bin/busybox", context / "busybox")
    (context / "Dockerfile").write_text(BUSYBOX)
    store.build(context, "-t", "busybox")
    return store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the examples."""
    return Path(shutil.copytree(EXAMPLES, tmp_path / "examples"))


@pytest.fixture
def run(store: Lamina, folder: Path) -> Callable[..., list[str]]:
    """Runs an example. Returns the lines that it prints."""

    def run(*command: str, **environment: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=folder,
            env={**os.environ, "LAMINA_ROOT": str(store.root), **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


def test_hello(run: Callable[..., list[str]]) -> None:
    identity, line = run("hello.py")
    assert identity.startswith("sha256:")
    assert line == "hello from a state"


def test_dockerfile_stage(run: Callable[..., list[str]]) -> None:
    assert run("dockerfile_stage.py") == ["status 1.4", "start 2.0"]


def test_matrix(run: Callable[..., list[str]]) -> None:
    lines = run("matrix.py")
    assert [line.split()[:2] for line in lines] == [
        ["1.0", "debug"],
        ["1.0", "release"],
        ["2.0", "debug"],
        ["2.0", "release"],
    ]
    assert len({line.split()[2] for line in lines}) == 4


def test_monorepo(run: Callable[..., list[str]], folder: Path) -> None:
    assert run("monorepo.py") == ["api built", "web built"]
    assert run("monorepo.py") == ["api unchanged", "web unchanged"]
    (folder / "monorepo/lib/lib.txt").write_text("changed")
    assert run("monorepo.py") == ["api built", "web unchanged"]


def test_secret(run: Callable[..., list[str]]) -> None:
    length, listed, error = run("secret.py")
    assert length == "6"
    assert "token" not in listed
    assert error.startswith("secret unknown: not found (") and "secret.py:" in error


def test_progress(run: Callable[..., list[str]]) -> None:
    lines = run("progress.py")
    assert "log: slow" in lines
    assert lines[-2] == "RUN sleep 0.2; echo slow"


def test_build_file(store: Lamina, folder: Path) -> None:
    context = folder / "build-file"
    file = ("-f", str(context / "build.py"))
    store.build(context, *file, "--build-arg=port=81", "-t", "built")
    [document] = json.loads(store("inspect", "built").out)
    config = document["config"]["config"]
    assert config["Labels"] == {"version": "1.4"}
    assert config["ExposedPorts"] == {"81/tcp": {}}
    assert "DEBUG=1" in config["Env"]
    assert "app (default)" in store("build", "--call=targets", *file, str(context)).out


def test_image_test(store: Lamina, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "image-test"],
        cwd=folder,
        env={**os.environ, "LAMINA_TEST_ROOT": str(store.root)},
        capture_output=True,
        text=True,
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_notebook(run: Callable[..., list[str]], folder: Path) -> None:
    cells = json.loads((folder / "notebook.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    code.insert(2, "print('<table>' in progress._repr_html_())")
    code[3] = f"print({code[3]}, end='')"
    assert run("-c", "\n".join(code)) == ["True", "from a notebook"]


def test_wheel(run: Callable[..., list[str]], store: Lamina, folder: Path, tmp_path: Path) -> None:
    context = tmp_path / "python"
    context.mkdir()
    copy_python(context / "root")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY root /\nCOPY root/lib64 /lib64\n")
    if not (context / "root/lib64").exists():
        (context / "Dockerfile").write_text("FROM scratch\nCOPY root /\n")
    store.build(context, "--platform=linux/amd64,linux/arm64", "-t", "python:3.12")
    [digest] = run("wheel.py")
    shown = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{folder}/greeting-image"],
        capture_output=True,
        text=True,
        check=True,
    )
    platforms = {
        entry["platform"]["architecture"]
        for entry in json.loads(shown.stdout)["manifests"]
        if entry["platform"]["architecture"] != "unknown"
    }
    assert platforms == {"amd64", "arm64"}
    assert digest.startswith("sha256:")


def test_every_example_is_listed_and_tested() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    own = Path(__file__).read_text() + (Path(__file__).parent / "test_fresh_machine.py").read_text()
    for path in (*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*.ipynb")):
        assert f"`{path.name}`" in listed
        assert path.name in own
