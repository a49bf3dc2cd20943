"""Images, and parts of them."""

from __future__ import annotations

import json

import pytest

from lamina.base.digest import digest_of
from lamina.base.errors import InvalidInput
from lamina.base.oci import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Descriptor, Manifest
from lamina.base.platform import host_platform
from lamina.sources.contract import source_digest
from lamina.sources.manifests import ResolvedManifest, chain_ids, image_map, lowest_layers

DIFF_IDS = [digest_of(bytes([n])) for n in range(3)]


def image() -> ResolvedManifest:
    config = json.dumps({"os": "linux", "rootfs": {"type": "layers", "diff_ids": DIFF_IDS}})
    layers = tuple(Descriptor(OCI_LAYER, digest, 1) for digest in DIFF_IDS)
    described = Descriptor(OCI_CONFIG, digest_of(config.encode()), len(config))
    own = digest_of(b"manifest")
    return ResolvedManifest(own, Manifest(OCI_MANIFEST, described, layers), config.encode(), own)


def test_the_lowest_layers_form_an_image() -> None:
    for count in (1, 2, 3):
        part = lowest_layers(image(), str(count))
        assert [layer.digest for layer in part.manifest.layers] == DIFF_IDS[:count]
        mapped = image_map(part, host_platform(), str(count))
        assert mapped.digest == source_digest(chain_ids(DIFF_IDS)[count - 1])
    assert lowest_layers(image(), "") == image()


@pytest.mark.parametrize("limit", ["0", "4", "-1", "two", "1.0", "9" * 5000, "٣"])
def test_layers_that_there_are_not(limit: str) -> None:
    with pytest.raises(InvalidInput, match="invalid layer limit"):
        lowest_layers(image(), limit)
