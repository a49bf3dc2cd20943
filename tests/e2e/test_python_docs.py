"""Every Python snippet of the documentation runs, in the order of its page."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

import lamina

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
GO = """#!/bin/sh
while [ "$1" != -o ]; do shift; done
mkdir -p "${2%/*}" && cp /bin/busybox "$2"
"""
MAKE = """#!/bin/sh
echo made > "${1#DESTDIR=}/file"
"""
APP = """#!/bin/sh
case $1 in --version) echo 1.4 ;; *) exec httpd -f -p 127.0.0.1:8080 -h /www ;; esac
"""
ADDUSER = """#!/bin/sh
echo app:x:1000:1000::/:/bin/sh >> /etc/passwd; echo app:x:1000: >> /etc/group
"""
DOCKERFILE = """FROM busybox AS base
RUN adduser -D app
FROM base AS release
ARG VERSION
RUN mkdir /www /etc/conf && echo 'mode=quiet' > /etc/app.conf
COPY app /bin/app
COPY app /app
USER app
CMD ["app"]
"""
BAKE = """target "api" { context = "api" }
target "web" { context = "web" }
"""


def snippets(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def execute(code: str, names: dict[str, Any]) -> None:
    """Run code that may have `await` outside of functions."""
    compiled = compile(code, "snippet.py", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if compiled.co_flags & inspect.CO_COROUTINE:
        asyncio.run(FunctionType(compiled, names)())
    else:
        exec(compiled, names)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with stand-ins for the images that the pages name."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copy("/bin/busybox", folder / "busybox")
    with lamina.connect(root=folder / "store") as builder:
        base = (
            lamina.scratch()
            .copy(lamina.local(folder, include=["busybox"]), "busybox", "/bin/")
            .run(["/bin/busybox", "--install", "-s", "/bin"])
            .write("/bin/make", MAKE, mode=0o755)
            .write("/bin/adduser", ADDUSER, mode=0o755)
            .mkdir("/etc")
            .write("/etc/passwd", "root:x:0:0::/:/bin/sh\n")
            .write("/etc/group", "root:x:0:\n")
        )
        builder.build(base, tags=["busybox"])
        builder.build(base.write("/bin/go", GO, mode=0o755), tags=["golang:1.23"])
    yield folder / "store"


@pytest.fixture
def project(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with what the pages presuppose."""
    for name in (".", "path/to/context", "context", "api", "web"):
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Dockerfile").write_text(DOCKERFILE)
        (folder / "app").write_text(APP)
        (folder / "app").chmod(0o755)
    (tmp_path / "docker-bake.hcl").write_text(BAKE)
    (tmp_path / "VERSION").write_text("1.4\n")
    (tmp_path / "index.html").write_text("page")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAMINA_ROOT", str(store))
    return tmp_path


@pytest.mark.parametrize("page", ["README.md", "docs/python/index.md", "docs/python/howto.md"])
def test_the_snippets_of_a_page(page: str, project: Path) -> None:
    with lamina.connect() as builder:
        base = lamina.image("busybox")
        names: dict[str, Any] = {
            "__name__": "snippet",
            "lamina": lamina,
            "asyncio": asyncio,
            "builder": builder,
            "base": base,
            "state": base,
        }
        builder.build("path/to/context", tags=["app"], build_args={"VERSION": "1.4"})
        for code in snippets(page):
            if "registry.example" in code:  # a name that nobody serves
                code = re.sub(r"\n *cache_from=.*", "", code)
            execute(code, names)
            names["builder"] = builder  # a snippet may have closed its own


def test_the_build_file(project: Path) -> None:
    [code] = snippets("docs/python/frontends.md")
    (project / "build.py").write_text(code)
    with lamina.connect() as builder:
        builder.build(dockerfile="build.py", build_args={"mode": "release"}, tags=["built"])
        config = builder.inspect("built")["config"]["config"]
    assert config["Labels"] == {"version": "1.4"}
    assert config["ExposedPorts"] == {"8080/tcp": {}}


def test_the_tests_of_images(project: Path) -> None:
    plugins, code = snippets("docs/python/testing.md")
    (project / "conftest.py").write_text(plugins)
    (project / "test_image.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        env={**os.environ, "LAMINA_TEST_ROOT": os.environ["LAMINA_ROOT"]},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
