"""Fixtures for end-to-end tests: the command, separate stores, a base image."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.commands import Lamina

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The speed of an example depends on the load of the machine, which is not tested.
settings.register_profile("lamina", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lamina")


def pytest_configure(config: pytest.Config) -> None:
    if os.geteuid() != 0 and not config.option.collectonly:
        raise pytest.UsageError(
            "the tests start containers and mount file systems, so they need root:"
            " run `sudo scripts/test`, best in a virtual machine"
        )


@pytest.fixture
def lamina(tmp_path: Path) -> Lamina:
    return Lamina(tmp_path / "store")


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], Lamina]:
    """Machines by name: each has a separate store, empty at first."""
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
