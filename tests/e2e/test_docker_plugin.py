"""lamina as Docker's plugin: started as Docker and Compose start it, and by a real Docker CLI."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TARGETS: dict[str, dict[str, object]] = {
    "web": {"dockerfile": "Dockerfile", "tags": ["web:1"], "output": ["type=docker"]},
    "worker": {
        "contexts": {"parent": "target:web"},
        "dockerfile-inline": "FROM parent\nCOPY Dockerfile /worker\n",
        "tags": ["worker"],
        "output": ["type=docker"],
    },
}


class Docker:
    """A user's Docker directory with the installed plugin."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / ".docker"
        self.program = self.folder / "cli-plugins/docker-buildx"
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
            "HOME": str(home),
            "LAMINA_ROOT": str(home / "store"),
            "DOCKER_HOST": "unix:///nowhere/docker.sock",
            "BUILDKIT_PROGRESS": "plain",
        }

    def lamina(self, *words: str) -> str:
        return self.run(sys.executable, "-m", "lamina", *words).stdout

    def plugin(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return self.run(str(self.program), *words, stdin=stdin)

    def run(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, env=self.environment, input=stdin, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture
def docker(tmp_path: Path) -> Docker:
    found = Docker(tmp_path)
    found.lamina("install")
    return found


def test_metadata(docker: Docker) -> None:
    metadata = json.loads(docker.plugin("docker-cli-plugin-metadata").stdout)
    assert metadata["SchemaVersion"] == "0.1.0"
    assert metadata["Vendor"]
    assert metadata["Version"].startswith("v0.")
    assert docker.plugin("buildx", "version").stdout == f"lamina {metadata['Version']}\n"


def test_commands_of_docker(docker: Docker, context: Callable[..., Path]) -> None:
    folder = str(context("FROM scratch\nCOPY Dockerfile /\n"))
    docker.environment["BUILDX_BUILDER"] = "default"  # as `docker build` sets it
    docker.plugin("buildx", "build", "-t", "app", folder)
    assert "app" in docker.lamina("images")
    assert docker.plugin("buildx", "inspect").stdout.startswith("Name:   default\n")
    flags = ["--context", "default", "-D", "--log-level=debug"]
    assert docker.plugin(*flags, "buildx", "--builder", "default", "du").stdout
    loaded = docker.plugin("buildx", "build", "--load", "-t", "other", folder)
    assert "no Docker or Podman runs" in loaded.stderr
    assert "other" in docker.lamina("images")


def test_what_compose_runs(docker: Docker, context: Callable[..., Path], tmp_path: Path) -> None:
    folder = context("FROM scratch\nCOPY Dockerfile /\n")
    definition = {
        "group": {"default": {"targets": ["web", "worker"]}},
        "target": {name: {"context": str(folder), **target} for name, target in TARGETS.items()},
    }
    metadata = tmp_path / "metadata.json"
    done = docker.plugin(
        *("bake", "--file", "-", "--progress", "rawjson", "--metadata-file", str(metadata)),
        *("--allow", f"fs.read={folder}"),
        stdin=json.dumps(definition),
    )
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert any("vertexes" in event for event in events)
    built = json.loads(metadata.read_text())
    assert built["web"]["image.name"] == "docker.io/library/web:1"
    assert built["worker"]["containerimage.digest"].startswith("sha256:")
    images = docker.lamina("images", "--format", "names").split()
    assert {"web:1", "worker:latest"} <= set(images)


def test_docker_ends_the_plugin(docker: Docker, context: Callable[..., Path]) -> None:
    """Docker closes its socket when it is interrupted."""
    folder = context('FROM base\nRUN ["/bin/busybox", "sh", "-c", "echo started; sleep 60"]\n')
    name = f"\0docker_cli_{os.urandom(8).hex()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        docker.environment["DOCKER_CLI_PLUGIN_SOCKET"] = "@" + name[1:]
        process = subprocess.Popen(
            [str(docker.program), "buildx", "build", str(folder)],
            env=docker.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stderr is not None
            connected, _ = server.accept()
            assert any("started" in line for line in process.stderr)
            connected.close()
            rest = process.stderr.read()
            assert process.wait() == 130, rest


def test_uninstall_restores_what_was_there(tmp_path: Path) -> None:
    docker = Docker(tmp_path)
    docker.program.parent.mkdir(parents=True)
    docker.program.write_text("#!/bin/sh\necho theirs\n")
    docker.program.chmod(0o755)
    config = docker.folder / "config.json"
    config.write_text('{"auths": {"host": {}}}')
    fake = tmp_path / "bin/docker"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho Docker version 20.10.24, build 1\n")
    fake.chmod(0o755)
    docker.environment["PATH"] = f"{fake.parent}:{os.environ['PATH']}"
    for _ in range(2):
        assert "restores the plugin" in docker.lamina("install")
    assert "lamina v" in docker.plugin("version").stdout
    # Docker before 23 needs an alias.
    assert json.loads(config.read_text())["aliases"] == {"builder": "buildx"}
    assert docker.lamina("uninstall") == "lamina is no longer Docker's plugin\n"
    assert docker.plugin("version").stdout == "theirs\n"
    assert json.loads(config.read_text()) == {"auths": {"host": {}}}
    assert docker.lamina("uninstall") == "lamina is not Docker's plugin\n"
    assert docker.plugin("version").stdout == "theirs\n"


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not installed")
def test_a_real_docker_cli(docker: Docker, context: Callable[..., Path]) -> None:
    folder = str(context("FROM scratch\nCOPY Dockerfile /\n"))
    docker.run("docker", "build", "-t", "app", folder)
    assert "app" in docker.lamina("images")
    assert "default*" in docker.run("docker", "buildx", "ls").stdout
