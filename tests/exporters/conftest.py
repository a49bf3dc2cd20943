from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest

from lamina.base.oci import OCI_LAYER_GZIP, Descriptor
from lamina.exporters.contract import LayerInfo
from lamina.layers.compression import Compression
from lamina.layers.diff import tree_members
from lamina.layers.pack import pack
from lamina.stores.blobs import BlobStore
from lamina.system.cancel import Cancellation

if TYPE_CHECKING:
    from pathlib import Path


class Packed(NamedTuple):
    blobs: BlobStore
    layers: tuple[LayerInfo, ...]
    config: bytes


@pytest.fixture
def packed(tmp_path: Path) -> Packed:
    """Two real layers in a store, and a config from a frontend."""
    blobs = BlobStore(str(tmp_path / "store"))
    layers = []
    for number in (1, 2):
        tree = tmp_path / f"tree{number}"
        (tree / "etc").mkdir(parents=True)
        (tree / "etc" / f"file{number}").write_text(f"content {number}\n")
        (tree / "etc" / "common").symlink_to(f"file{number}")
        with blobs.create() as draft:
            made = pack(tree_members(str(tree)), draft, Compression(), Cancellation())
            draft.commit(made.digest, made.size)
        descriptor = Descriptor(OCI_LAYER_GZIP, made.digest, made.size)
        layers.append(LayerInfo(descriptor, made.diff_id, 1700000000.25 + number, f"step {number}"))
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh", "-c", "true && false"]},
        "history": [
            {"created_by": "COPY tree1 /", "comment": "buildkit.dockerfile.v0"},
            {"created_by": "ENV A=<b>", "empty_layer": True},
            {"created_by": "COPY tree2 /"},
        ],
    }
    return Packed(blobs, tuple(layers), json.dumps(config).encode())
