"""The options of `lamina build`, one behaviour each, in real builds."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina


def tree_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_dockerfile_from_standard_input(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("", {"a": "from the context"})
    out = tmp_path / "out"
    done = lamina(
        *("build", "-f", "-", "-o", str(out), str(folder)),
        stdin=b"FROM scratch\nCOPY a /b\n",
    )
    assert done.code == 0, done.err
    assert (out / "b").read_text() == "from the context"
    done = lamina("build", "-o", str(out), "-", stdin=b"FROM scratch\nCOPY <<E /inline\nx\nE\n")
    assert done.code == 0, done.err
    assert (out / "inline").read_text() == "x\n"


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_context_as_a_tar_on_standard_input(
    lamina: Lamina, tmp_path: Path, mode: Literal["w", "w:gz"]
) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:
        for name, text in (("Dockerfile", "FROM scratch\nCOPY d /d\n"), ("d/file", "in a tar")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    out = tmp_path / "out"
    done = lamina("build", "-o", str(out), "-", stdin=data.getvalue())
    assert done.code == 0, done.err
    assert (out / "d/file").read_text() == "in a tar"


def test_outputs_on_standard_output(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM scratch\nCOPY a /dir/a\n", {"a": "text"})
    command = [sys.executable, "-m", "lamina", "--root", str(lamina.root), "build"]
    for output, expected in (
        ("-", "dir/a"),
        ("type=oci,dest=-", "oci-layout"),
        ("type=docker,dest=-", "manifest.json"),
    ):
        done = subprocess.run(
            [*command, "-o", output, "-t", "x:1", str(folder)], capture_output=True, check=True
        )
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            assert expected in archive.getnames()


def test_iid_and_metadata_files(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    iid, metadata = tmp_path / "iid", tmp_path / "metadata.json"
    folder = context("FROM base\n")
    lamina.build(folder, "-t", "a:1", f"--iidfile={iid}", f"--metadata-file={metadata}")
    document = json.loads(metadata.read_text())
    assert document["image.name"] == "docker.io/library/a:1"
    assert document["containerimage.config.digest"] == iid.read_text()
    assert document["containerimage.digest"].startswith("sha256:")
    quiet = lamina("build", "-q", str(folder))
    assert quiet.out == iid.read_text() + "\n"
    assert quiet.err == ""
    failed = lamina("build", f"--iidfile={iid}", str(context("FROM base\nRUN false\n")))
    assert failed.code == 1
    assert not iid.exists()


def test_no_cache_filter_spares_other_stages(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context(
        "FROM base AS one\nRUN echo 1 > /1\nFROM base AS two\nRUN echo 2 > /2\n"
        "FROM scratch\nCOPY --from=one /1 /\nCOPY --from=two /2 /\n"
    )
    lamina.build(folder)
    log = lamina.build(folder, "--no-cache-filter=two")
    lines = log.splitlines()
    state = {
        name: lines[index + 1]
        for index, line in enumerate(lines)
        for name in ("[one 1/1]", "[two 1/1]")
        if name in line and index + 1 < len(lines)
    }
    assert "CACHED" in state["[one 1/1]"]
    assert "CACHED" not in state["[two 1/1]"]


def test_build_options_apply_to_steps(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    folder = context(
        "FROM base AS b\nRUN cat /etc/hosts > /hosts; ulimit -n > /files; "
        "df -k /dev/shm | tail -1 > /shm; ls /sys/class/net > /net; hostname > /name\n"
        "FROM scratch\nCOPY --from=b /hosts /files /shm /net /name /\n"
    )
    lamina.build(
        folder,
        *("--add-host", "db.example=10.9.8.7", "--ulimit", "nofile=1234:2345"),
        *("--shm-size", "32m", "--network", "none", "-o", str(out)),
    )
    assert "10.9.8.7\tdb.example" in (out / "hosts").read_text()
    assert (out / "files").read_text() == "1234\n"
    assert " 32768 " in (out / "shm").read_text()
    assert (out / "net").read_text() == "lo\n"
    assert (out / "name").read_text() == "buildkitsandbox\n"


def test_labels_args_and_target(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base AS one\nARG V=default\nLABEL own=$V\nFROM one AS two\nRUN false\n")
    lamina.build(
        folder,
        *("--target", "one", "--build-arg", "V=given", "--label", "more=yes", "-t", "x"),
    )
    document = json.loads(lamina("inspect", "x").out)
    document = document[0] if isinstance(document, list) else document
    assert document["config"]["config"]["Labels"] == {"own": "given", "more": "yes"}


def test_security_insecure_needs_leave(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM base\nRUN --security=insecure grep CapEff /proc/self/status > /caps\n")
    failed = lamina("build", str(folder))
    assert failed.code == 1
    assert "--allow security.insecure" in failed.err
    lamina.build(folder, "--allow", "security.insecure", "-t", "x")
    plain = context("FROM base\nRUN grep CapEff /proc/self/status > /caps\n")
    lamina.build(plain, "-t", "y")
    assert lamina("run", "y", "cat", "/caps").out.split()[1] == "00000000a80425fb"
    assert lamina("run", "x", "cat", "/caps").out.split()[1] > "00000000a80425fb"


def ssh_client(folder: Path) -> None:
    """A real `ssh-add` for a container, with the libraries that it needs."""
    listed = subprocess.run(["ldd", "/usr/bin/ssh-add"], capture_output=True, text=True).stdout
    for path in ["/usr/bin/ssh-add", *re.findall(r"(/\S+) \(0x", listed)]:
        target = folder / "client" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def test_ssh_agents_and_keys(lamina: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    folder = context(
        "FROM base\nCOPY client /\n"
        "RUN --mount=type=ssh,required=true --mount=type=ssh,id=keys,target=/keys "
        "ssh-add -l > /default; SSH_AUTH_SOCK=/keys ssh-add -l > /others\n"
    )
    ssh_client(folder)
    for name in ("one", "two", "three"):
        key = str(tmp_path / name)
        subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-C", name, "-f", key])
        (tmp_path / name).chmod(0o644)
    socket = str(tmp_path / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        while not os.path.exists(socket):
            time.sleep(0.01)
        key_one = (tmp_path / "one").read_bytes()
        environ = {**os.environ, "SSH_AUTH_SOCK": socket}
        subprocess.run(["ssh-add", "-q", "-"], input=key_one, env=environ, check=True)
        lamina.build(
            folder,
            *("--ssh", f"default={socket}", "--ssh", f"keys={tmp_path}/two,{tmp_path}/three"),
            *("-t", "x"),
        )
    finally:
        agent.kill()
        agent.wait()
    assert " one " in lamina("run", "x", "cat", "/default").out
    others = lamina("run", "x", "cat", "/others").out
    assert " two " in others
    assert " three " in others
    assert " one " not in others
    failed = lamina("build", "--no-cache", str(folder))
    assert failed.code == 1
    assert "--ssh" in failed.err
    text = tmp_path / "text"
    text.write_text("no key")
    failed = lamina("build", "--no-cache", "--ssh", f"default={text}", str(folder))
    assert failed.code == 1
    assert "not a usable key" in failed.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--platform", "linux//x"], "invalid component of"),
        (["--target", "bsae"], "did you mean base?"),
        (["--output", "type=nope"], "nope"),
        (["--build-context", "x=oci-layout:///nowhere"], "/nowhere"),
        (["-f", "absent"], "absent"),
        (["-o", "type=oci,dest=/absent/x.tar"], "--output /absent/x.tar: no such directory:"),
        (["--secret", "id=x,src=/absent"], "/absent"),
        (["--ulimit", "nofile=x"], "ulimit"),
        (["--nope"], "--nope"),
    ],
)
def test_invalid_options(
    lamina: Lamina, context: Callable[..., Path], arguments: list[str], said: str
) -> None:
    folder = context("FROM base AS last\nCOPY --from=x . /y\n")
    failed = lamina("build", *arguments, str(folder))
    assert failed.code == 1
    assert said in failed.err
    assert "Traceback" not in failed.err


def test_a_policy_denies_and_converts_sources(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    """An image name that no registry has is converted to an image of the store; a directory is
    denied."""
    lamina.build(context("FROM base\nRUN echo mine > /mark\n"), "-t", "mine:1")
    converts = {
        "action": "CONVERT",
        "selector": {"identifier": "docker-image://registry.invalid/*:*"},
        "updates": {"identifier": "docker-image://docker.io/library/$1:1"},
    }
    denies = {"action": "DENY", "selector": {"identifier": "local://context"}}
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"rules": [converts]}))
    folder = tmp_path / "judged"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM registry.invalid/mine:latest\nCOPY a /\n")
    (folder / "a").write_text("a")
    option = f"--source-policy-file={policy}"
    lamina.build(folder, option, "-o", str(tmp_path / "out"))
    assert (tmp_path / "out/mark").read_text() == "mine\n"
    policy.write_text(json.dumps({"rules": [converts, denies]}))
    failed = lamina("build", option, str(folder))
    assert failed.code == 1
    assert "source denied by policy: local://context" in failed.err
