"""Sources that registries hold, asked of a real one."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from lamina.base.digest import digest_of
from lamina.base.errors import LaminaError
from lamina.base.oci import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    platform_to_json,
)
from lamina.base.platform import host_platform
from lamina.llb.op import Op, SourceOp
from lamina.llb.state import Vertex, marshal
from real_registry import put_blob, put_manifest, running_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Bench
    from lamina.base.digest import Digest
    from lamina.llb.op import Definition

    WithEngine = Callable[[Callable[[Bench], Any]], Any]


class Repository(NamedTuple):
    """A repository of a registry that runs."""

    host: str
    path: str = "some/thing"

    @property
    def name(self) -> str:
        return f"{self.host}/{self.path}"

    def blob(self, data: bytes, kind: str = "application/octet-stream") -> Descriptor:
        return Descriptor(kind, put_blob(self.host, self.path, data), len(data))

    def image(self, text: str, tag: str = "") -> Digest:
        """Upload an image with one file, `f`; the manifest's digest."""
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode="w") as archive:
            entry = tarfile.TarInfo("f")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
        layer = self.blob(held.getvalue(), OCI_LAYER)
        config = {
            **platform_to_json(host_platform()),
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
        }
        described = self.blob(json.dumps(config).encode(), OCI_CONFIG)
        manifest = Manifest(OCI_MANIFEST, described, (layer,)).to_json()
        return put_manifest(self.host, self.path, manifest, tag)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def repository(registry: str, tmp_path: Path) -> Repository:
    return Repository(registry, f"test/{digest_of(str(tmp_path).encode()).hex[:12]}")


def source(identifier: str, **attrs: str) -> Definition:
    named = {key.replace("_", "."): value for key, value in attrs.items()}
    return marshal(Vertex(Op(source=SourceOp(identifier, tuple(sorted(named.items()))))).output())


def test_a_checksum_is_what_a_tag_has_to_point_to(
    with_engine: WithEngine, repository: Repository
) -> None:
    one, two = repository.image("one", "v1"), repository.image("two", "v2")
    named = f"docker-image://{repository.name}"
    assert with_engine(lambda b: b.tree(source(f"{named}:v2", image_checksum=two))) == {"f": "two"}
    # The digest in a name goes before its tag.
    assert with_engine(lambda b: b.tree(source(f"{named}:v2@{one}"))) == {"f": "one"}
    with pytest.raises(LaminaError) as caught:
        with_engine(lambda bench: bench.tree(source(f"{named}:v2", image_checksum=one)))
    assert caught.value.reason == (
        f"image digest {two} for {repository.name}:v2 does not match expected checksum {one}"
    )
