"""Layers are packed while later steps run, and concurrently."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.commands import Lamina


def blobs(lamina: Lamina) -> int:
    folder = lamina.root / "blobs/sha256"
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


def test_layers_are_packed_while_later_steps_run(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context(
        "RUN head -c 300000 /dev/urandom > /one\n"
        "RUN --mount=type=cache,id=gate,target=/c"
        ' i=0; until [ -e /c/go ]; do sleep 0.1; i=$((i+1)); [ "$i" -lt 300 ]; done\n'
    )
    process = subprocess.Popen(
        [
            *[sys.executable, "-m", "lamina", "--root", str(lamina.root), "build"],
            *["--progress=plain", "-o", f"type=oci,dest={tmp_path}/out.tar", str(folder)],
        ],
        stderr=subprocess.PIPE,
    )
    mounts = lamina.root / "mounts"
    try:
        # Busybox, its links, and the large file: three layers, while the last step waits.
        deadline = time.monotonic() + 25
        while (blobs(lamina) < 3 or not [*mounts.glob("*/")]) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.poll() is None
        assert blobs(lamina) >= 3
        [mount] = mounts.glob("*/")
        (mount / "go").touch()
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors.decode()
    assert (tmp_path / "out.tar").stat().st_size > 300_000


def test_no_layers_are_packed_without_an_image_output(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("RUN head -c 300000 /dev/urandom > /one\nRUN true\n")
    lamina.build(folder, "-o", str(tmp_path / "out"))
    sizes = [path.stat().st_size for path in (lamina.root / "blobs/sha256").iterdir()]
    assert all(size < 300_000 for size in sizes)


def test_many_layers_side_by_side_are_the_same_as_one_by_one(
    machine: Callable[[str], Lamina], context: Callable[..., Path], tmp_path: Path
) -> None:
    """Two machines with different directories, umasks and times give the same image."""
    steps = "".join(
        f"RUN mkdir -p /d{n} && echo {n} > /d{n}/file && touch -d @17{n:08} /d{n}/file\n"
        for n in range(12)
    )
    folder = context(f"{steps}COPY src /src\n", {"src/a": "a", "src/b/c": "c"})
    other = tmp_path / "elsewhere"
    subprocess.run(f"umask 077; cp -r {folder} {other}", shell=True, check=True)
    for path in (other / "src", other / "src/b"):
        path.chmod(0o755)
    for path in (other / "src/a", other / "src/b/c", other / "busybox"):
        path.chmod((folder / path.relative_to(other)).stat().st_mode & 0o777)
    targets = []
    for name, place in (("a", folder), ("b", other)):
        time.sleep(1.1)  # another second
        output = f"type=oci,dest={tmp_path}/{name},tar=false,rewrite-timestamp=true"
        machine(name).build(place, "-o", output, env={"SOURCE_DATE_EPOCH": "1600000000"})
        index = json.loads((tmp_path / name / "index.json").read_text())
        targets.append([entry["digest"] for entry in index["manifests"]])
    assert targets[0] == targets[1]


def test_several_outputs_of_one_build(
    lamina: Lamina, context: Callable[..., Path], tmp_path: Path
) -> None:
    folder = context("RUN echo several > /file\n")
    log = lamina.build(
        folder,
        *["-t", "several:1", "-o", "type=image", "-o", f"type=oci,dest={tmp_path}/oci.tar"],
        *["-o", f"type=docker,dest={tmp_path}/docker.tar", "-o", f"type=tar,dest={tmp_path}/t.tar"],
        *["-o", f"type=local,dest={tmp_path}/out"],
        *["-o", f"type=oci,dest={tmp_path}/zstd.tar,compression=zstd,force-compression=true"],
    )
    assert log.count("RUN echo several") == 1
    assert lamina("run", "several:1", "cat", "/file").out == "several\n"
    assert (tmp_path / "out/file").read_text() == "several\n"
    ids = set()
    for name in ("oci", "docker", "zstd"):
        listed = subprocess.run(
            ["tar", "-xOf", tmp_path / f"{name}.tar", "index.json"], capture_output=True, check=True
        )
        digest = json.loads(listed.stdout)["manifests"][0]["digest"].replace(":", "/")
        found = subprocess.run(
            ["tar", "-xOf", tmp_path / f"{name}.tar", f"blobs/{digest}"],
            capture_output=True,
            check=True,
        )
        manifest = json.loads(found.stdout)
        ids.add(manifest["config"]["digest"])
        kinds = {layer["mediaType"].rpartition("+")[2] for layer in manifest["layers"]}
        assert kinds == {"zstd" if name == "zstd" else "gzip"}
    assert len(ids) == 1


def test_rewriting_times_to_the_same_values_keeps_the_layer(lamina: Lamina, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY file /a/\nCOPY file /b/\n")
    (folder / "file").write_text("old")
    for path in (folder / "file", folder):
        os.utime(path, (10**9, 10**9))
    epoch = {"env": {"SOURCE_DATE_EPOCH": str(10**9)}}
    for number in range(2):
        out = f"type=oci,dest={tmp_path / str(number)},tar=false,rewrite-timestamp=true"
        lamina.build(folder, "-o", out, **epoch)
    # All other outputs use the layers that were packed for that one.
    log = lamina.build(folder, "-o", f"type=oci,dest={tmp_path / 'plain'},tar=false", **epoch)
    assert log.count("CACHED") == 2
    lamina.build(folder, "-o", str(tmp_path / "tree"), **epoch)
    assert (tmp_path / "tree/b/file").read_text() == "old"
