"""Builds for several platforms, in the local store and in registries."""

from __future__ import annotations

import json
import subprocess
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.archives import read_member
from tests.real_registry import running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina

BOTH = "--platform=linux/amd64,linux/arm64"
CROSS = """
FROM --platform=$BUILDPLATFORM base AS build
ARG TARGETARCH
ARG TARGETPLATFORM
RUN echo "$TARGETARCH of $TARGETPLATFORM" > /made
FROM scratch
COPY --from=build /made /made
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


def raw(name: str) -> dict[str, Any]:
    command = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_an_index_is_pushed_and_pulled(
    lamina: Lamina,
    machine: Callable[[str], Lamina],
    registry: str,
    context: Callable[..., Path],
    tmp_path: Path,
) -> None:
    name = f"{registry}/cross/app:1"
    metadata = tmp_path / "metadata.json"
    annotations = (
        "--annotation=index,manifest[linux/arm64]:org.example.a=b",
        "--annotation=manifest-descriptor:org.example.c=d",
    )
    lamina.build(
        *(context(CROSS), BOTH, "--push", "-t", name),
        *(*annotations, "--metadata-file", str(metadata)),
    )
    index = raw(name)
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert index["annotations"] == {"org.example.a": "b"}
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]
    assert [e["annotations"] for e in index["manifests"]] == [{"org.example.c": "d"}] * 2
    repository = name.rpartition(":")[0]
    manifests = [raw(f"{repository}@{entry['digest']}") for entry in index["manifests"]]
    assert [m.get("annotations") for m in manifests] == [None, {"org.example.a": "b"}]
    written = json.loads(metadata.read_text())
    assert "containerimage.config.digest" not in written
    assert written["containerimage.descriptor"]["mediaType"] == index["mediaType"]
    assert written["image.name"] == name
    there = machine("there")
    for architecture in ("amd64", "arm64"):
        pulled = there("pull", f"--platform=linux/{architecture}", name)
        assert pulled.code == 0, pulled.err
        target = f"oci:{tmp_path}/copy-{architecture}:1"
        subprocess.run(
            [
                *("skopeo", "--insecure-policy", "--override-arch", architecture, "copy", "-q"),
                *("--src-tls-verify=false", f"docker://{name}", target),
            ],
            check=True,
        )
    again = lamina("push", "--progress=plain", name)
    assert again.code == 0, again.err


def test_an_index_in_the_local_store(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("COPY hello /hello\nCMD cat /hello\n", {"hello": "hello\n"})
    log = lamina.build(folder, BOTH, "-t", "both")
    assert "exporting manifest list sha256:" in log
    listed = json.loads(lamina("images", "--format=json").out)
    assert listed["Platform"] == "linux/amd64,linux/arm64"
    (shown,) = json.loads(lamina("inspect", "both").out)
    assert [image["platform"] for image in shown["images"]] == ["linux/amd64", "linux/arm64"]
    assert shown["images"][1]["config"]["architecture"] == "arm64"
    ran = lamina("run", "both")
    assert (ran.code, ran.out) == (0, "hello\n"), ran.err
    pruned = lamina("prune", "-af")
    assert pruned.code == 0, pruned.err
    assert lamina("run", "both").out == "hello\n"
    assert lamina("rmi", listed["ID"].partition(":")[2][:12]).code == 0
    assert lamina("images", "-q").out == ""


def test_files_of_several_platforms(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context(CROSS)
    out = tmp_path / "out"
    lamina.build(folder, BOTH, "-o", str(out))
    assert (out / "linux_arm64/made").read_text() == "arm64 of linux/arm64\n"
    assert (out / "linux_amd64/made").read_text() == "amd64 of linux/amd64\n"
    lamina.build(folder, BOTH, "-o", f"type=tar,dest={tmp_path}/out.tar")
    with tarfile.open(tmp_path / "out.tar") as tar:
        assert "linux_arm64/made" in tar.getnames()
    clash = lamina("build", BOTH, "-o", f"type=local,dest={out},platform-split=false", str(folder))
    assert "cannot overwrite made from linux/amd64 with linux/arm64" in clash.err


def test_archives(lamina: Lamina, context: Callable[..., Path], tmp_path: Path) -> None:
    folder = context(CROSS)
    lamina.build(folder, BOTH, "-o", f"type=oci,dest={tmp_path}/out.tar,name=app:1")
    for architecture in ("amd64", "arm64"):
        command = ["skopeo", "--override-arch", architecture, "inspect"]
        shown = subprocess.check_output([*command, f"oci-archive:{tmp_path}/out.tar:1"])
        assert json.loads(shown)["Architecture"] == architecture
    lamina.build(folder, BOTH, "-o", f"type=oci,dest={tmp_path}/layout,tar=false,name=app:1")
    shown = subprocess.check_output(["skopeo", "inspect", "--raw", f"oci:{tmp_path}/layout:1"])
    assert len(json.loads(shown)["manifests"]) == 2
    refused = lamina("build", BOTH, "-o", f"type=docker,dest={tmp_path}/no.tar", str(folder))
    assert "does not currently support exporting manifest lists" in refused.err
    lists = f"type=oci,dest={tmp_path}/docker.tar,oci-mediatypes=false,name=app:1"
    lamina.build(folder, BOTH, "-o", lists)
    with tarfile.open(tmp_path / "docker.tar") as tar:
        (entry,) = json.loads(read_member(tar, "index.json"))["manifests"]
    assert entry["mediaType"].endswith("manifest.list.v2+json")


def test_one_foreign_platform(lamina: Lamina, context: Callable[..., Path]) -> None:
    folder = context("FROM scratch\nCOPY Dockerfile /\n")
    lamina.build(folder, "--platform=linux/riscv64", "-t", "foreign")
    (shown,) = json.loads(lamina("inspect", "foreign").out)
    assert shown["config"]["architecture"] == "riscv64"
    refused = lamina("build", "--annotation=index:a=b", str(folder))
    assert "index annotations not supported for single platform" in refused.err


def test_a_command_of_another_machine(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context('FROM scratch\nCOPY program /program\nRUN ["/program"]\n')
    # Only an ELF header for a machine that nothing here emulates (EM_S390).
    header = b"\x7fELF\x02\x02\x01" + bytes(9) + b"\0\2\0\x16\0\0\0\1" + bytes(40)
    (folder / "program").write_bytes(header)
    (folder / "program").chmod(0o755)
    failed = lamina("build", "--platform=linux/s390x", str(folder))
    assert failed.code == 1
    assert "cannot run programs for linux/s390x: register QEMU" in failed.err
