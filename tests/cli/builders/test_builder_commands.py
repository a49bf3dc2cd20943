"""Named builders with real daemons."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from lamina.base.oci import OCI_INDEX
from tests.commands import Lamina
from tests.daemon_process import DaemonProcess
from tests.real_registry import free_port, make_certificates, running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Done


class User(Lamina):
    """The command of a user with a separate home, without flags that choose a store."""

    def __init__(self, home: Path) -> None:
        super().__init__(home / "store")
        self._home = home

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "lamina", *args]

    def environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in ("LAMINA_HOST", "BUILDKIT_HOST", "BUILDX_BUILDER", "DOCKER_CONFIG")
        }
        return {**kept, "HOME": str(self._home), "LAMINA_ROOT": str(self.root)}

    def listed(self) -> dict[str, dict[str, Any]]:
        done = self("ls", "--format", "json")
        assert done.code == 0, done.err
        return {b["Name"]: b for b in map(json.loads, done.out.splitlines())}


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path_factory.mktemp("daemon") / "store") as process:
        yield process


def succeeded(done: Done) -> Done:
    assert done.code == 0, done.err
    return done


def test_create_use_inspect_and_remove(
    user: User, daemon: DaemonProcess, context: Callable[..., Path], tmp_path: Path
) -> None:
    created = succeeded(user("create", "--name", "far", "--use", daemon.address))
    assert created.out == "far\n"
    builders = user.listed()
    assert list(builders) == ["far", "default"]
    assert builders["far"]["Current"]
    assert builders["far"]["Driver"] == "remote"
    (node,) = builders["far"]["Nodes"]
    assert node["Status"] == "running"
    assert "+lamina." in node["Version"]
    assert builders["default"]["Driver"] == "embedded"
    table = succeeded(user("ls")).out.splitlines()
    assert table[0].split() == ["NAME/NODE", "DRIVER/ENDPOINT", "STATUS", "BUILDKIT", "PLATFORMS"]
    assert table[1].split() == ["far*", "remote"]
    assert succeeded(user("ls", "--format", "names")).out == "far\ndefault\n"
    shown = succeeded(user("inspect")).out
    assert f"Endpoint:         {daemon.address}\n" in shown
    assert "GC Policy rule#0:\n All:            false\n" in shown

    folder = context("FROM scratch\nCOPY Dockerfile /\n")
    user.build(folder, "-o", str(tmp_path / "out"))
    assert (tmp_path / "out/Dockerfile").exists()
    assert not user.root.exists()  # the build was not in this process
    refused = user("images")
    assert refused.code == 1
    assert daemon.address in refused.err
    assert succeeded(user("images", "--builder", "default")).out
    assert succeeded(user("--builder", "default", "du")).out

    succeeded(user("use", "default"))
    assert user.listed()["default"]["Current"]
    chosen = user("inspect", env={"BUILDX_BUILDER": "far"}).out
    assert chosen.startswith("Name:          far\n")
    removed = succeeded(user("rm", "far"))
    assert removed.err == "far removed\n"
    again = user("rm", "far")
    assert again.code == 1
    assert again.err == 'failed to remove far: there is no builder "far"\n'
    assert "cannot be removed" in user("rm", "default").err
    missing = user("build", "--builder", "far", str(folder))
    assert missing.err == 'ERROR: there is no builder "far"\nhint: `lamina ls` lists the builders\n'


def test_nodes_are_added_changed_and_removed(user: User, daemon: DaemonProcess) -> None:
    nowhere = "unix:///nowhere/sock"
    succeeded(user("create", "--name", "two", "--platform", "linux/arm64", daemon.address))
    assert "there is a builder two" in user("create", "--name", "two", nowhere).err
    assert (
        "has a node with endpoint"
        in user("create", "--name", "two", "--append", daemon.address).err
    )
    succeeded(user("create", "--name", "two", "--append", "--node", "other", nowhere))
    nodes = {node["Name"]: node for node in user.listed()["two"]["Nodes"]}
    assert nodes["two0"]["Platforms"][0] == "linux/arm64"
    assert nodes["other"]["Status"] == "inactive"
    succeeded(user("create", "--name", "two", "--node", "other", "--platform", "linux/arm64"))
    nodes = {node["Name"]: node for node in user.listed()["two"]["Nodes"]}
    assert nodes["other"]["Platforms"] == ["linux/arm64"]
    assert "linux/arm64" not in nodes["two0"]["Platforms"]
    down = user("bootstrap", "--timeout", "0", "two")
    assert down.code == 1
    assert "node other of builder two does not run" in down.err
    succeeded(user("create", "--name", "two", "--leave", "--node", "other"))
    assert succeeded(user("bootstrap", "two")).out == "two\n"
    last = user("create", "--name", "two", "--leave", "--node", "two0")
    assert "lamina rm two" in last.err
    succeeded(user("create", "--name", "dead", nowhere))
    assert succeeded(user("rm", "--all-inactive", "--force")).err == "dead removed\n"
    assert list(user.listed()) == ["two", "default"]


def test_builders_without_a_daemon(
    user: User, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("FROM scratch\nCOPY Dockerfile /\n")
    succeeded(user("create", "--name", "ci", str(tmp_path / "ci")))
    user.build(folder, "-t", "app", "--builder", "ci")
    assert (tmp_path / "ci").is_dir()
    assert "app" in succeeded(user("images", "--builder", "ci")).out
    assert "app" not in succeeded(user("images")).out
    # Scripts for BuildKit in Docker work: the builder is in this process.
    made = succeeded(user("create", "--driver", "docker-container", "--use"))
    assert "lamina builds in its own process instead" in made.err
    user.build(folder, "-t", "app")
    assert "app" in succeeded(user("images")).out
    refused = user("create", "--driver", "kubernetes")
    assert "use embedded or remote" in refused.err


def test_files_of_buildx_are_read(user: User, daemon: DaemonProcess, tmp_path: Path) -> None:
    folder = tmp_path / ".docker/buildx"
    (folder / "instances").mkdir(parents=True)
    (folder / "instances/theirs").write_text(
        '{"Name":"theirs","Driver":"remote","Nodes":[{"Name":"theirs0","Endpoint":"'
        + daemon.address
        + '","Platforms":null,"DriverOpts":null,"Flags":null,"Files":null}],"Dynamic":false}'
    )
    (folder / "instances/pods").write_text(
        '{"Name":"pods","Driver":"kubernetes","Nodes":[{"Name":"pods0","Endpoint":"kubernetes:///p",'
        '"Platforms":null,"DriverOpts":null,"Flags":null,"Files":null}],"Dynamic":false}'
    )
    (folder / "current").write_text(
        '{"Key":"unix:///var/run/docker.sock","Name":"theirs","Global":false}'
    )
    builders = user.listed()
    assert builders["theirs"]["Current"]
    assert "does not have" in builders["pods"]["Err"]
    assert "does not have" in user("du", "--builder", "pods").err
    assert succeeded(user("du")).out
    other = user("ls", "--format", "json", env={"DOCKER_HOST": "tcp://engine.example:2375"})
    current = [b["Name"] for b in map(json.loads, other.out.splitlines()) if b["Current"]]
    assert current == ["default"]
    (folder / "instances/theirs").write_text("{")
    assert "is not valid JSON" in user("ls").err


def test_certificates_of_a_node(user: User, tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    make_certificates(folder)
    address = f"tcp://127.0.0.1:{free_port()}"
    files = {name: str(folder / f"{name}.pem") for name in ("ca", "cert", "key")}
    shown = [f"--tlscert={files['cert']}", f"--tlskey={files['key']}", f"--tlscacert={files['ca']}"]
    options = f"cacert={files['ca']},cert={files['cert']},key={files['key']}"
    with DaemonProcess(tmp_path / "served", f"--addr={address}", *shown):
        succeeded(user("create", "--name", "safe", "--driver-opt", options, address))
        assert user.listed()["safe"]["Nodes"][0]["Status"] == "running"
        assert succeeded(user("du", "--builder", "safe")).out
    assert "CA certificate" in user("create", "--driver-opt", f"cert={files['cert']}", address).err
    assert "is not absolute" in user("create", "--driver-opt", "cacert=ca.pem", address).err
    assert "invalid option" in user("create", "--driver-opt", "image=x", address).err


def test_each_node_builds_its_platforms(
    user: User, daemon: DaemonProcess, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /$TARGETARCH\n")
    with (
        DaemonProcess(tmp_path / "other") as other,
        running_registry(tmp_path / "registry") as host,
    ):
        succeeded(user("create", "--name", "pair", "--use", daemon.address))
        succeeded(
            user("create", "--name=pair", "--append", "--platform=linux/s390x", other.address)
        )
        both = ["--platform", "linux/amd64,linux/s390x", "--metadata-file", f"{tmp_path}/meta"]
        tags = ["-t", f"{host}/app:1", "-t", f"{host}/app:2"]
        log = user.build(folder, *both, *tags, "--push", "--provenance=false")
        assert "[pair0 " in log
        assert "[pair1 " in log
        for tag in ("1", "2"):
            url = f"http://{host}/v2/app/manifests/{tag}"
            wanted = urllib.request.Request(url, headers={"Accept": OCI_INDEX})
            with urllib.request.urlopen(wanted) as answer:
                assert answer.headers["Docker-Content-Digest"] in (tmp_path / "meta").read_text()
                index = json.load(answer)
            made = [entry["platform"]["architecture"] for entry in index["manifests"]]
            assert sorted(made) == ["amd64", "s390x"]
        with urllib.request.urlopen(f"http://{host}/v2/app/tags/list") as answer:
            assert sorted(json.load(answer)["tags"]) == ["1", "2"]
        user.build(folder, *both, "-o", str(tmp_path / "out"))
        assert (tmp_path / "out/linux_amd64/amd64").exists()
        assert (tmp_path / "out/linux_s390x/s390x").exists()
        refused = user("build", *both, "-o", f"type=oci,dest={tmp_path}/image.tar", str(folder))
        assert "cannot have the platforms of several nodes" in refused.err
        assert len(succeeded(user("du", "--format", "json")).out.splitlines()) > 1


def test_a_builder_over_ssh(
    user: User, daemon: DaemonProcess, context: Callable[..., Path], tmp_path: Path
) -> None:
    """The client is real; only `ssh` is a script that runs the command on this machine."""
    programs = tmp_path / "bin"
    programs.mkdir()
    lamina = " ".join(user.command())
    (programs / "lamina").write_text(f'#!/bin/sh\nexec {lamina} "$@"\n')
    (programs / "ssh").write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/log\n'
        'while [ $# -gt 1 ]; do shift; done\nexec sh -c "$1"\n'
    )
    for name in ("lamina", "ssh"):
        (programs / name).chmod(0o755)
    path = {"PATH": f"{programs}:{os.environ['PATH']}"}
    folder = context("FROM scratch\nCOPY Dockerfile /\n")
    socket = daemon.address.removeprefix("unix://")
    for number, address in enumerate(("ssh://me@host:22", f"ssh://host{socket}")):
        out = tmp_path / f"out{number}"
        user.build(folder, "--builder", address, "-o", str(out), env=path)
        assert (out / "Dockerfile").exists()
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0].startswith("-o BatchMode=yes -l me -p 22 -- host command -v lamina")
    (programs / "ssh").write_text(
        "#!/bin/sh\necho 'Permission denied (publickey).' >&2\nexit 255\n"
    )
    refused = user("du", "--builder", "ssh://host", env=path)
    assert refused.code == 1
    assert "Permission denied" in refused.err
    assert "invalid address" in user("du", "--builder", "ssh://me:secret@host").err
