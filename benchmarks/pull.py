"""Pulling and unpacking one large layer, compared with `tar -xz` of it."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import statistics
import subprocess
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Lamina, Row, Run, registry, timed

if TYPE_CHECKING:
    from pathlib import Path

_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_FOLDERS, _FILES = 290, 100


def measure(work: Path) -> list[Row]:
    """The whole build of `FROM image` and one step that reads the files, and tar alone."""
    tree = work / "tree"
    _fill(tree)
    with registry(work) as address:
        image = f"{address}/large:1"
        blob = _push(work / "layout", tree, image)
        context = work / "context"
        context.mkdir()
        (context / "Dockerfile").write_text(
            f'FROM {image}\nRUN ["/bin/busybox", "test", "-e", "/d0/f0"]\n'
        )
        pulls: list[Run] = []
        tars: list[Run] = []
        for number in range(5):
            store, folder = work / f"store{number}", work / f"tar{number}"
            folder.mkdir()
            tars.append(timed(["tar", "-xzf", str(blob), "-C", str(folder)]))
            pulls.append(Lamina(store).build(context))
            shutil.rmtree(store)
            shutil.rmtree(folder)
    size = blob.stat().st_size / 1e6
    ratio = [pull.seconds / tar.seconds for pull, tar in zip(pulls, tars, strict=True)]
    median = statistics.median(tar.seconds for tar in tars)
    work_name = f"pull and unpack {size:.0f} MB, against `tar -xz` ({median:.2f} s)"
    resident = max(run.resident for run in pulls)
    return [Row(work_name, statistics.median(ratio), 1.2, tuple(ratio), resident, "×")]


def _fill(tree: Path) -> None:
    """Write 29,000 files, as compressible as programs are: a layer of about 150 MB."""
    source = random.Random(1)
    words = [source.randbytes(source.randint(3, 9)) for _ in range(4000)]
    (tree / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", tree / "bin/busybox")
    for folder in range(_FOLDERS):
        path = tree / f"d{folder}"
        path.mkdir()
        for file in range(_FILES):
            text = b"".join(source.choices(words, k=source.randint(100, 1600)))
            (path / f"f{file}").write_bytes(text + source.randbytes(source.randint(100, 2600)))


def _push(layout: Path, tree: Path, image: str) -> Path:
    """Push a one-layer image made by other tools. Returns the layer."""
    layer = layout.parent / "layer.tar"
    subprocess.run(["tar", "-C", str(tree), "-cf", str(layer), "."], check=True)
    plain = _descriptor(layout, "", layer.read_bytes())
    subprocess.run(["gzip", "-n", str(layer)], check=True)
    packed = layer.with_name("layer.tar.gz").read_bytes()
    rootfs = {"type": "layers", "diff_ids": [plain["digest"]]}
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}
    manifest = {
        "schemaVersion": 2,
        "config": _descriptor(layout, _CONFIG, json.dumps(config).encode()),
        "layers": [_descriptor(layout, _LAYER, packed)],
    }
    target = _descriptor(layout, _MANIFEST, json.dumps(manifest).encode())
    target["annotations"] = {"org.opencontainers.image.ref.name": "1"}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [target]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    command = ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:1"]
    subprocess.run([*command, f"docker://{image}"], check=True)
    return layer.with_name("layer.tar.gz")


def _descriptor(layout: Path, media_type: str, data: bytes) -> dict[str, Any]:
    """Describe a blob, after writing it if it has a media type."""
    name = hashlib.sha256(data).hexdigest()
    if media_type:
        folder = layout / "blobs/sha256"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}
