from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from lamina.base.errors import Cancelled, Corrupt, InvalidInput, NotFound
from lamina.exporters.archive import write_archive, write_layout
from lamina.exporters.contract import Artifact
from lamina.exporters.file_sink import open_sink
from lamina.exporters.image import assemble
from lamina.system.cancel import Cancellation
from tests.archives import read_member

if TYPE_CHECKING:
    from pathlib import Path

    from tests.exporters.conftest import Packed

NAMES = ("docker.io/library/app:v1", "localhost:5000/team/app:v2")


@pytest.fixture
def image(packed: Packed) -> Artifact:
    return Artifact.of(assemble(packed.config, packed.layers, names=NAMES))


def skopeo(*arguments: str) -> Any:
    done = subprocess.run(["skopeo", *arguments], capture_output=True, check=False)
    assert not done.returncode, done.stderr.decode()
    return json.loads(done.stdout)


def unpack(layout: Path, tag: str, bundle: Path) -> None:
    subprocess.run(
        ["umoci", "unpack", "--image", f"{layout}:{tag}", str(bundle)],
        check=True,
        capture_output=True,
    )
    assert (bundle / "rootfs/etc/file1").read_text() == "content 1\n"
    assert (bundle / "rootfs/etc/file2").read_text() == "content 2\n"
    assert os.readlink(bundle / "rootfs/etc/common") == "file2"


def archive(image: Artifact, packed: Packed, docker: bool) -> bytes:
    out = io.BytesIO()
    write_archive(image, packed.blobs, out, Cancellation(), docker=docker)
    return out.getvalue()


def test_oci(image: Artifact, packed: Packed, tmp_path: Path) -> None:
    path = tmp_path / "out.tar"
    with open_sink(str(path)) as sink:
        write_archive(image, packed.blobs, sink, Cancellation(), docker=False)
    assert path.read_bytes() == archive(image, packed, False)
    with tarfile.open(path) as tar:
        assert tar.getnames() == sorted(tar.getnames())
        assert {member.mtime for member in tar} == {0}
        assert "manifest.json" not in tar.getnames()
        index = json.loads(read_member(tar, "index.json"))
        tar.extractall(tmp_path / "layout", filter="data")
    assert [entry["annotations"] for entry in index["manifests"]] == [
        {
            "io.containerd.image.name": name,
            "org.opencontainers.image.created": "2023-11-14T22:13:22Z",
            "org.opencontainers.image.ref.name": name.rpartition(":")[2],
        }
        for name in NAMES
    ]
    for tag in ("v1", "v2"):
        found = skopeo("inspect", f"oci-archive:{path}:{tag}")
        assert found["Digest"] == image.target.digest
    unpack(tmp_path / "layout", "v1", tmp_path / "bundle")


def test_docker(image: Artifact, packed: Packed, tmp_path: Path) -> None:
    path = tmp_path / "out.tar"
    path.write_bytes(archive(image, packed, True))
    with tarfile.open(path) as tar:
        (entry,) = json.loads(read_member(tar, "manifest.json"))
    assert entry["RepoTags"] == ["app:v1", "localhost:5000/team/app:v2"]
    found = skopeo("inspect", f"docker-archive:{path}:docker.io/library/app:v1")
    assert found["Env"] == ["PATH=/bin"]
    layout = tmp_path / "layout"
    subprocess.run(
        ["skopeo", "--insecure-policy", "copy", "-q", f"docker-archive:{path}", f"oci:{layout}:x"],
        check=True,
        capture_output=True,
    )
    unpack(layout, "x", tmp_path / "bundle")


@pytest.mark.parametrize("docker_types", [False, True])
def test_nameless(packed: Packed, tmp_path: Path, docker_types: bool) -> None:
    image = Artifact.of(assemble(packed.config, packed.layers, docker_types=docker_types))
    path = tmp_path / "out.tar"
    path.write_bytes(archive(image, packed, True))
    assert skopeo("inspect", f"docker-archive:{path}")["Layers"]
    assert skopeo("inspect", f"oci-archive:{path}")["Digest"] == image.target.digest


def test_layout(image: Artifact, packed: Packed, tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    write_layout(image, packed.blobs, str(folder), Cancellation())
    unpack(folder, "v1", tmp_path / "bundle")
    before = sorted(os.listdir(folder / "blobs/sha256"))
    write_layout(image, packed.blobs, str(folder), Cancellation())
    assert sorted(os.listdir(folder / "blobs/sha256")) == before
    names = ("docker.io/library/app:v2",)
    other = Artifact.of(assemble(packed.config, packed.layers[:1], names=names))
    write_layout(other, packed.blobs, str(folder), Cancellation())
    index = json.loads((folder / "index.json").read_text())
    tags = {
        entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"]
        for entry in index["manifests"]
    }
    assert tags == {"v1": image.target.digest, "v2": other.target.digest}
    nameless = Artifact.of(assemble(packed.config, packed.layers[:1]))
    write_layout(nameless, packed.blobs, str(folder), Cancellation())
    write_layout(nameless, packed.blobs, str(folder), Cancellation())
    assert len(json.loads((folder / "index.json").read_text())["manifests"]) == 3
    assert not [name for name in os.listdir(folder) if name.endswith(".part")]


def test_a_corrupt_blob_leaves_no_archive(image: Artifact, packed: Packed, tmp_path: Path) -> None:
    first = image.layers()[0].digest
    path = packed.blobs.path(first)
    with open(path, "r+b") as file:
        file.write(b"garbage")
    target = tmp_path / "out.tar"
    target.write_text("old")

    def export() -> None:
        with open_sink(str(target)) as sink:
            write_archive(image, packed.blobs, sink, Cancellation(), docker=False)

    with pytest.raises(Corrupt):
        export()
    packed.blobs.remove(first)
    with pytest.raises(NotFound):
        export()
    with pytest.raises(NotFound):
        write_layout(image, packed.blobs, str(tmp_path / "layout"), Cancellation())
    assert not (tmp_path / "layout/index.json").exists()
    assert target.read_text() == "old"
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]


def test_cancelled(image: Artifact, packed: Packed) -> None:
    cancel = Cancellation()
    cancel.cancel()
    with pytest.raises(Cancelled):
        write_archive(image, packed.blobs, io.BytesIO(), cancel, docker=False)


def test_sinks(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="directory"), open_sink(str(tmp_path)):
        pass
    with pytest.raises(NotFound), open_sink(str(tmp_path / "no/such/folder")):
        pass
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)
    with open_sink(str(link)) as sink:
        sink.write(b"new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    with open_sink("/dev/null") as sink:
        sink.write(b"gone")
    assert os.path.exists("/dev/null")
    code = (
        "from lamina.exporters.file_sink import open_sink\nwith open_sink('-') as s: s.write(b'x')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"x"
