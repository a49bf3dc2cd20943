"""Builders of all kinds, and a base image made of busybox."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

import lamina
from tests.buildkit_process import BUILDKITD, running_buildkitd
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lamina") / "store"


@pytest.fixture(scope="module")
def embedded(root: Path) -> Iterator[lamina.Builder]:
    with lamina.connect(root=root) as builder:
        yield builder


@pytest.fixture(scope="session")
def devices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that defines the CDI device `lamina.test/word=one`, a variable."""
    device = {
        "name": "one",
        "annotations": {"org.mobyproject.buildkit.device.autoallow": "true"},
        "containerEdits": {"env": ["DEVICE=one"]},
    }
    spec = {"cdiVersion": "0.6.0", "kind": "lamina.test/word", "devices": [device]}
    folder = tmp_path_factory.mktemp("cdi")
    (folder / "word.json").write_text(json.dumps(spec))
    return folder


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, devices: Path) -> Iterator[DaemonProcess]:
    root = tmp_path_factory.mktemp("daemon") / "store"
    with DaemonProcess(root, "--cdi-spec-dir", str(devices)) as process:
        yield process


@pytest.fixture(scope="module")
def remote(daemon: DaemonProcess) -> Iterator[lamina.Builder]:
    with lamina.connect(daemon.address) as builder:
        yield builder


@pytest.fixture(scope="module")
def buildkit(tmp_path_factory: pytest.TempPathFactory, devices: Path) -> Iterator[lamina.Builder]:
    folder = tmp_path_factory.mktemp("buildkit")
    with (
        running_buildkitd(folder, "--cdi-spec-dir", str(devices)) as address,
        lamina.connect(address) as builder,
    ):
        yield builder


DAEMONS = ["remote", *(["buildkit"] if BUILDKITD in os.environ else [])]


@pytest.fixture(params=["embedded", *DAEMONS])
def builder(request: pytest.FixtureRequest) -> lamina.Builder:
    found: lamina.Builder = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("binaries")
    shutil.copy("/bin/busybox", folder / "busybox")
    return folder


@pytest.fixture
def base(binaries: Path) -> lamina.State:
    """Busybox with its links in /bin."""
    return (
        lamina.scratch()
        .copy(lamina.local(binaries), "busybox", "/bin/")
        .run(["/bin/busybox", "--install", "-s", "/bin"])
    )


@pytest.fixture
def files(builder: lamina.Builder, tmp_path: Path) -> Callable[[lamina.State], Path]:
    """The files of a state, in a directory."""

    def export(state: lamina.State) -> Path:
        builder.build(state, outputs=[f"type=local,dest={tmp_path}/files"])
        return tmp_path / "files"

    return export
