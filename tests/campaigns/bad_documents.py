"""Documents of layouts and of caches with invalid values."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import zstandard

from tests.campaigns.bad_archives import bad_archive, bomb, escapes

if TYPE_CHECKING:
    import random
    from pathlib import Path

_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1 << 31, 1 << 64, 1 << 80, -(1 << 80), 1.5, 1e300, "", "x", "..", "/"),
    *("\ud800", "x" * 300, "sha256:" + "0" * 64, "sha256:zz", "md5:x", [], {}, [[]], [None]),
)


def changed(chance: random.Random, document: Any, extra: tuple[str, ...] = ()) -> Any:
    """A document with one value replaced, missing, or duplicated."""
    if isinstance(document, dict) and document and chance.random() < 0.9:
        key = chance.choice(list(document))
        kept = dict(document)
        if chance.random() < 0.1:
            del kept[key]
        else:
            kept[key] = changed(chance, kept[key], extra)
        return kept
    if isinstance(document, list) and document and chance.random() < 0.9:
        at = chance.randrange(len(document))
        again = [document[at]] * chance.choice((1, 1, 1, 0, 2))
        again = [changed(chance, one, extra) for one in again]
        return [*document[:at], *again, *document[at + 1 :]]
    return chance.choice((*_VALUES, *extra))


class Layout:
    """A writable OCI layout, in a directory of a round."""

    def __init__(self, source: Path, folder: Path) -> None:
        shutil.copytree(source, folder)
        self.folder = folder

    def path(self, digest: str) -> Path:
        return self.folder / "blobs" / digest.replace(":", "/")

    def read(self, digest: str) -> bytes:
        return self.path(digest).read_bytes()

    def write(self, entry: dict[str, Any], data: bytes) -> None:
        """Add a blob, and point an entry to it."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.path(digest).write_bytes(data)
        entry["digest"], entry["size"] = digest, len(data)

    def index(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "index.json").read_text())
        return found

    def write_index(self, index: Any) -> None:
        (self.folder / "index.json").write_text(json.dumps(index))


def bad_layout(chance: random.Random, layout: Layout, outside: Path) -> None:
    """Damage a layout of images in one way."""
    index = layout.index()
    for entry in index["manifests"]:
        manifest = json.loads(layout.read(entry["digest"]))
        layers, config = manifest["layers"], manifest["config"]
        match chance.randrange(7):
            case 0 | 1:
                # First the content: the manifest that refers to it stays valid.
                raw = bomb(chance) if chance.random() < 0.03 else bad_archive(chance, outside)
                layout.write(layers[0], raw)
            case 2:
                document = json.loads(layout.read(config["digest"]))
                layout.write(config, _json(changed(chance, document)))
            case 3:
                manifest = changed(chance, manifest)
            case 4:
                layers[0] = changed(chance, layers[0])
            case 5:
                _replace(chance, layout.path(layers[0]["digest"]), outside)
            case _:
                _replace(chance, layout.path(config["digest"]), outside)
        layout.write(entry, _json(manifest))
    layout.write_index(changed(chance, index) if chance.random() < 0.1 else index)


def bad_pack(chance: random.Random, layout: Layout, outside: Path) -> None:
    """Damage the packs of cache mounts in a local cache."""
    index = layout.index()
    for entry in index["manifests"]:
        if ".mount-" not in str(entry.get("annotations")):
            continue
        manifest = json.loads(layout.read(entry["digest"]))
        config = manifest["config"]
        unpacked = zstandard.ZstdDecompressor().decompress(
            layout.read(config["digest"]), max_output_size=1 << 30
        )
        document = json.loads(unpacked)
        names = (*escapes(outside), "../x", "a/../../x", "/x", "f/x", "l/x")
        for _ in range(chance.randint(1, 4)):
            document = changed(chance, document, names)
        data = zstandard.ZstdCompressor().compress(_json(document))
        layout.write(config, data if chance.random() < 0.9 else data[: len(data) // 2])
        if chance.random() < 0.2:
            blob = chance.choice([config, *manifest["layers"]])
            _replace(chance, layout.path(blob["digest"]), outside)
        if chance.random() < 0.2:
            manifest = changed(chance, manifest)
        layout.write(entry, _json(manifest))
    layout.write_index(index)


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


def _replace(chance: random.Random, path: Path, outside: Path) -> None:
    """Replace a blob by another kind of file, or by other bytes."""
    if path.exists() or path.is_symlink():
        path.unlink()
    match chance.randrange(5):
        case 0:
            path.symlink_to(outside / "canary")
        case 1:
            os.mkfifo(path)
        case 2:
            path.mkdir()
        case 3:
            path.symlink_to("/dev/zero")
        case _:
            path.write_bytes(b"other")
