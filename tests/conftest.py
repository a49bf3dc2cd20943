"""What end-to-end tests share: the command, a store of their own, a base image."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Lamina:
    """The command, run as a user would, on a store in a temporary folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, *args: str, env: dict[str, str] | None = None, stdin: bytes = b"") -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "lamina", "--root", str(self.root), *args],
            env={**os.environ, **(env or {})},
            input=stdin,
            capture_output=True,
            timeout=120,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def build(self, context: Path, *args: str, **options: dict[str, str]) -> str:
        """Build with plain progress; the log. Fails the test if the build does."""
        done = self("build", "--progress=plain", *args, str(context), **options)  # type: ignore[arg-type]
        assert done.code == 0, done.err
        return done.err


@pytest.fixture
def lamina(tmp_path: Path) -> Lamina:
    return Lamina(tmp_path / "store")


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], Lamina]:
    """Machines by name: each has a store of its own, empty at first."""
    return lambda name: Lamina(tmp_path / name)


@pytest.fixture
def context(tmp_path: Path) -> Callable[..., Path]:
    """Writes a build context: `context(dockerfile, name=content, …)`."""
    folder = tmp_path / "context"

    def write(dockerfile: str, files: dict[str, str] | None = None) -> Path:
        folder.mkdir(exist_ok=True)
        (folder / "Dockerfile").write_text(BASE + dockerfile)
        if not (folder / "busybox").exists():
            shutil.copy("/bin/busybox", folder / "busybox")
        for name, content in (files or {}).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return folder

    return write


BASE = """FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
"""
