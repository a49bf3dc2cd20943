"""`lamina diff` of images in all locations, made by lamina and by other tools."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.real_registry import put_blob, put_manifest, running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.commands import Lamina

IMAGE = """FROM base
ARG V
ENV VERSION=$V
RUN mkdir /d && echo $V > /version && ln /version /d/link && echo 1 > "/d/gone$V"
RUN mkdir -p /var/lib/dpkg && printf 'Package: libc6\\nVersion: %s\\n' $V > /var/lib/dpkg/status
LABEL v=$V
"""


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def skopeo(*args: str) -> None:
    run("skopeo", "--insecure-policy", *args)


def compared(lamina: Lamina, *args: str, differ: bool) -> dict[str, Any]:
    done = lamina("diff", "--format=json", *args)
    assert done.code == int(differ), done.err
    document: dict[str, Any] = json.loads(done.out)
    assert document["equal"] is not differ
    return document


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def versions(lamina: Lamina, context: Callable[..., Path]) -> Lamina:
    """A store with app:1 and app:2."""
    folder = context(IMAGE)
    for version in "12":
        lamina.build(folder, "-t", f"app:{version}", "--build-arg", f"V={version}")
    return lamina


def test_differences_of_two_local_images_as_json(versions: Lamina) -> None:
    document = compared(versions, "app:1", "app:2", differ=True)
    assert document["before"]["name"] == "app:1"
    assert document["after"]["platform"].startswith("linux/")
    assert document["compared"] == {"times": False, "history": False, "layers": True}
    assert document["configuration"] == [
        {"field": "Env", "key": "VERSION", "before": "1", "after": "2"},
        {"field": "Labels", "key": "v", "before": "1", "after": "2"},
    ]
    assert document["packages"] == [
        {"manager": "dpkg", "name": "libc6", "before": ["1"], "after": ["2"]}
    ]
    files = {change["path"]: change for change in document["files"]}
    assert {path: (c["change"], c.get("differs")) for path, c in files.items()} == {
        "/d/gone1": ("removed", None),
        "/d/gone2": ("added", None),
        "/d/link": ("changed", ["content"]),
        "/var/lib/dpkg/status": ("changed", ["content"]),
        "/version": ("changed", ["content"]),
    }
    version = files["/version"]["after"]
    assert version["hardLink"] == "/d/link"
    assert (version["layer"], version["mode"], version["size"]) == (3, "0644", 2)
    layers = document["layers"]
    assert [layer["same"] for layer in layers] == [True, True, False, False]
    assert {change["path"] for change in layers[3]["changes"]} == {"/var/lib/dpkg/status"}
    assert "dpkg" in layers[3]["after"]["step"]


def test_differences_of_two_local_images_as_text(versions: Lamina) -> None:
    done = versions("diff", "app:1", "app:2")
    assert done.code == 1
    lines = done.out.splitlines()
    for line in (
        '  ~ Env VERSION: "1" → "2"',
        "  ~ dpkg libc6 1 → 2",
        "  - /d/gone1  2B",
        "  + /d/gone2  2B",
        "  ~ /version  content 2B",
        "Total: 1 file added (2B), 1 removed (2B), 3 changed.",
    ):
        assert line in lines, done.out
    same = versions("diff", "app:1", "app:1")
    assert same.code == 0
    assert same.out.endswith("The images are equal: they have the same digest.\n")


def test_times_count_only_if_they_are_compared(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    for name, seconds in (("one", 5), ("two", 6)):
        folder = context(f"FROM base\nRUN echo 1 > /a && touch -d @{seconds} /a\n")
        lamina.build(folder, "-t", name)
    done = lamina("diff", "one", "two")
    assert done.code == 0, done.out
    assert "in everything compared, but have different digests" in done.out
    assert "1 more file differs only in time (--times compares times)." in done.out
    document = compared(lamina, "--times", "one", "two", differ=True)
    assert [(c["path"], c["differs"]) for c in document["files"]] == [("/a", ["time"])]
    assert [change["field"] for change in document["configuration"]] == ["created"]


def test_an_image_equals_its_copies_in_other_formats(
    versions: Lamina, context: Callable[..., Path], tmp_path: Path, registry: str
) -> None:
    folder = context(IMAGE)
    for kind in ("oci", "docker"):
        output = f"type={kind},dest={tmp_path}/{kind}.tar,name=app:1"
        versions.build(folder, "--build-arg", "V=1", "-o", output)
    oci = f"oci-archive:{tmp_path}/oci.tar"
    skopeo("copy", "-q", oci, f"docker-archive:{tmp_path}/skopeo.tar:app:1")
    skopeo("copy", "-q", oci, f"oci:{tmp_path}/layout:one")
    target = f"docker://{registry}/app:1"
    skopeo("copy", "-q", "--dest-tls-verify=false", oci, target)
    (tmp_path / "skopeo.tar.gz").write_bytes(
        gzip.compress((tmp_path / "skopeo.tar").read_bytes(), 1)
    )
    with_digest = {
        f"{tmp_path}/oci.tar",
        f"{tmp_path}/docker.tar",
        oci,
        f"oci-archive:{tmp_path}/oci.tar:app:1",
        f"oci:{tmp_path}/layout:one",
        f"oci-layout://{tmp_path}/layout:one",
        f"{tmp_path}/layout",
        target,
        f"{registry}/app:1",
    }
    without = {
        f"docker-archive:{tmp_path}/skopeo.tar",
        f"{tmp_path}/skopeo.tar:app:1",
        f"{tmp_path}/skopeo.tar.gz",
    }
    for name in (*with_digest, *without):
        same = compared(versions, "--times", "--history", "app:1", name, differ=False)
        assert (same["after"]["digest"] is None) == (name in without)
        assert same["before"]["configDigest"] == same["after"]["configDigest"]
        other = compared(versions, name, "app:2", differ=True)
        assert len(other["files"]) == 5
        assert [layer["same"] for layer in other["layers"]] == [True, True, False, False]


@pytest.fixture
def podman() -> Iterator[list[str]]:
    """The command with a separate storage. Its paths must be short."""
    with tempfile.TemporaryDirectory(prefix="lamina-") as folder:
        options = [f"--root={folder}/root", f"--runroot={folder}/run", "--storage-driver=vfs"]
        yield ["podman", *options]


def test_archives_of_podman(
    versions: Lamina, context: Callable[..., Path], tmp_path: Path, podman: list[str]
) -> None:
    for version in "12":
        archive = tmp_path / f"{version}.tar"
        output = f"type=docker,dest={archive},name=localhost/app:{version}"
        versions.build(context(IMAGE), "--build-arg", f"V={version}", "-o", output)
        run(*podman, "load", "-q", "-i", str(archive))
    names = [f"localhost/app:{version}" for version in "12"]
    for kind in ("docker-archive", "oci-archive"):
        saved = f"{tmp_path}/saved-{kind}.tar"
        run(*podman, "save", "-q", f"--format={kind}", "-o", saved, names[0])
        assert not compared(versions, "app:1", saved, differ=False)["files"]
        assert len(compared(versions, saved, "app:2", differ=True)["files"]) == 5
    several = f"{tmp_path}/several.tar"
    run(*podman, "save", "-q", "-m", "-o", several, *names)
    compared(versions, "app:2", f"{several}:localhost/app:2", differ=False)
    compared(versions, f"{several}:localhost/app:1", f"{several}:localhost/app:2", differ=True)
    done = versions("diff", "app:1", several)
    assert done.code == 2
    assert f"ERROR: {several} contains 2 images; name one: {several}:NAME" in done.err
    assert "hint: it has: localhost/app:1, localhost/app:2" in done.err
    done = versions("diff", "app:1", f"{several}:app:3")
    assert (done.code, done.out) == (2, "")
    assert f"ERROR: {several} has no image app:3" in done.err


def test_differences_made_by_umoci(
    versions: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    layout = tmp_path / "layout"
    output = f"type=oci,dest={layout},tar=false,name=app:1"
    versions.build(context(IMAGE), "--build-arg", "V=1", "-o", output)
    bundle = tmp_path / "bundle"
    run("umoci", "unpack", "--image", f"{layout}:1", str(bundle))
    root = bundle / "rootfs"
    (root / "new").write_text("new")
    (root / "version").chmod(0o600)
    shutil.rmtree(root / "var")
    (root / "link").symlink_to("/nowhere")
    os.setxattr(root / "bin/busybox", "user.note", b"1")
    run("umoci", "repack", "--image", f"{layout}:2", str(bundle))
    run("umoci", "config", "--image", f"{layout}:2", "--config.user", "nobody")
    document = compared(versions, "app:1", f"oci:{layout}:2", differ=True)
    found = {c["path"]: c.get("differs", c["change"]) for c in document["files"]}
    assert found == {
        "/bin/busybox": ["xattrs"],
        "/d/link": ["mode"],
        "/link": "added",
        "/new": "added",
        "/var": "removed",
        "/var/lib": "removed",
        "/var/lib/dpkg": "removed",
        "/var/lib/dpkg/status": "removed",
        "/version": ["mode"],
    }
    assert [c["field"] for c in document["configuration"]] == ["User"]
    assert [c["name"] for c in document["packages"]] == ["libc6"]
    (layer,) = [layer for layer in document["layers"] if layer["before"] is None]
    assert {"path": "/var", "change": "added", "after": {"type": "whiteout"}} in layer["changes"]


def test_an_index_has_an_image_for_each_platform(
    lamina: Lamina, tmp_path: Path, registry: str
) -> None:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(
        "FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /Dockerfile-$TARGETARCH\n"
    )
    name = f"{registry}/platforms:1"
    both = "linux/amd64,linux/arm64"
    lamina.build(folder, "--platform", both, "-t", name, "--push", "--provenance=true")
    document = compared(lamina, "--platform=linux/arm64", name, f"docker://{name}", differ=False)
    assert document["before"]["platform"] == "linux/arm64"
    assert document["after"]["digest"] == document["before"]["digest"]
    lamina.build(folder, "--platform", "linux/amd64", "-t", "amd")
    compared(lamina, "--platform=linux/amd64", name, "amd", differ=False)
    done = lamina("diff", "--platform=linux/arm64", name, "amd")
    assert done.code == 2
    assert "ERROR: amd is an image for linux/amd64, not for linux/arm64" in done.err
    done = lamina("diff", "--platform=linux/riscv64", name, name)
    assert done.code == 2
    assert f"ERROR: {name} has no image for linux/riscv64" in done.err
    assert "hint: use --platform; it has: linux/amd64, linux/arm64" in done.err


def test_layers_that_the_store_does_not_have_yet_are_fetched(
    machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path, registry: str
) -> None:
    maker, other = machine("maker"), machine("other")
    maker.build(context(IMAGE), "--build-arg=V=1", "--push", "-t", f"{registry}/lazy:1")
    folder = tmp_path / "labelled"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {registry}/lazy:1\nLABEL more=1\n")
    other.build(folder, "-t", "labelled")
    (described,) = json.loads(other("inspect", "labelled").out)
    blobs = {path.name for path in (other.root / "blobs/sha256").iterdir()}
    assert not blobs & {layer["digest"][7:] for layer in described["manifest"]["layers"]}
    archive = f"{tmp_path}/two.tar"
    maker.build(context(IMAGE), "--build-arg=V=2", "-o", f"type=oci,dest={archive}")
    document = compared(other, "labelled", archive, differ=True)
    assert len(document["files"]) == 5
    assert {c["key"] for c in document["configuration"]} == {"VERSION", "v", "more"}


def test_local_images_by_their_digests(versions: Lamina) -> None:
    one, two = (json.loads(versions("inspect", f"app:{v}").out)[0] for v in "12")
    config = one["manifest"]["config"]["digest"]
    document = compared(versions, config, two["digest"][7:19], differ=True)
    assert document["before"]["digest"] == one["digest"]
    assert document["after"]["digest"] == two["digest"]


def test_errors_have_status_2(versions: Lamina, tmp_path: Path, registry: str) -> None:
    (tmp_path / "text.tar").write_text("no archive\n" * 100)
    (tmp_path / "folder").mkdir()
    with tarfile.open(tmp_path / "other.tar", "w") as archive:
        archive.add(tmp_path / "text.tar", "file")
    cases = {
        f"{tmp_path}/missing.tar": "missing.tar: No such file",
        f"{tmp_path}/text.tar": "text.tar: malformed tar",
        f"{tmp_path}/other.tar": "contains no image: it has neither manifest.json nor index.json",
        f"{tmp_path}/folder": "is not an OCI layout: it has no index.json",
        f"oci:{tmp_path}/nowhere:1": "is not an OCI layout",
        f"docker://{registry}/none:1": "none:1",
        f"{registry}/none:1": "is not in the local store, nor in a registry",
        "NotAName": "no image named NotAName",
        "/dev/zero": "is not a regular file",
    }
    for name, reason in cases.items():
        done = versions("diff", "app:1", name)
        assert (done.code, done.out) == (2, ""), name
        assert done.err.startswith("ERROR: "), name
        assert reason in done.err, done.err
        assert "Traceback" not in done.err
    for arguments in (["app:1"], ["--nothing", "app:1", "app:2"], ["--platform=?", "a", "b"]):
        done = versions("diff", *arguments)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("ERROR: ")


def test_broken_images_in_a_registry_are_errors(
    versions: Lamina, context: Callable[..., Path], registry: str
) -> None:
    versions.build(context(IMAGE), "--build-arg=V=1", "--push", "-t", f"{registry}/broken:1")
    run_skopeo = ["skopeo", "inspect", "--raw", "--tls-verify=false"]
    manifest = json.loads(run(*run_skopeo, f"docker://{registry}/broken:1"))
    wrong = put_blob(registry, "broken", gzip.compress(b"no layer" * 100))
    manifest["layers"][0] |= {"digest": wrong, "size": len(gzip.compress(b"no layer" * 100))}
    put_manifest(registry, "broken", manifest, "2")
    done = versions("diff", f"{registry}/broken:1", f"{registry}/broken:2")
    assert (done.code, done.out) == (2, "")
    assert f"ERROR: {registry}/broken:2: layer 1 (" in done.err
    assert "malformed tar" in done.err


def test_names_that_a_terminal_would_obey_are_escaped(
    lamina: Lamina, context: Callable[..., Path]
) -> None:
    folder = context("FROM base\nRUN touch \"$(printf '/a\\033[2Jb\\nc\\377')\"\n")
    lamina.build(folder, "-t", "odd")
    lamina.build(folder, "-t", "base", "--target=base")
    done = lamina("diff", "base", "odd")
    assert done.code == 1
    assert "  + /a\\u001b[2Jb\\nc\\xff  0B" in done.out.splitlines()
    (change,) = compared(lamina, "base", "odd", differ=True)["files"]
    assert change["path"] == "/a\x1b[2Jb\nc\udcff"


def test_a_hundred_thousand_files_and_a_large_one_need_little_memory(
    lamina: Lamina, tmp_path: Path
) -> None:
    """About 1 KiB of memory for each file, and none for content."""
    archives = []
    for number in range(2):
        folder = tmp_path / f"c{number}"
        folder.mkdir()
        (folder / "Dockerfile").write_text("FROM scratch\nADD files.tar /\n")
        with tarfile.open(folder / "files.tar", "w") as archive:
            for index in range(50_000):
                info = tarfile.TarInfo(f"folder{index % 500}/name-of-a-file-{index}")
                info.mode = 0o600 + number
                archive.addfile(info)
            info = tarfile.TarInfo("large")
            info.size = 400 << 20
            with open("/dev/zero", "rb") as zeros:
                archive.addfile(info, zeros)
        archives.append(f"{tmp_path}/{number}.tar")
        lamina.build(folder, "-o", f"type=oci,dest={archives[-1]}")
        shutil.rmtree(folder)
    code = (
        "import sys\n"
        "from lamina.cli.main import main\n"
        "status = main(['diff', '--verbose', *sys.argv[1:]])\n"
        # Not `ru_maxrss`: that is at least the size of the parent process.
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM:'))\n"
        "print(peak.split()[1], file=sys.stderr)\n"
        "sys.exit(status)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *archives], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "Total: 0 files added (0B), 0 removed (0B), 50000 changed." in done.stdout
    assert int(done.stderr) < 256 << 10
