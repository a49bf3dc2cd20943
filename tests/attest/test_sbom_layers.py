"""Layers that are added to the documents of scanners."""

from __future__ import annotations

import json
from typing import NamedTuple

from lamina.attest.sbom_layers import with_layers
from lamina.exporters.attestation import Statement
from lamina.sbom.spdx import PREDICATE


class Image(NamedTuple):
    """Implements `lamina.attest.contract.DescribedImage`."""

    name: str = ""
    digest: str = ""
    layers: tuple[str, ...] = ("sha256:1",)

    def layer_of(self, path: str) -> str:
        return self.layers[0]


def test_a_name_that_is_no_text_stays_readable() -> None:
    predicate = b'{"spdxVersion": "SPDX-2.3", "files": [{"fileName": "caf\\udce9"}]}'
    made = with_layers(Statement(PREDICATE, "sbom", predicate), Image())
    [file] = json.loads(made.predicate)["files"]
    assert file == {"fileName": "caf?", "comment": "layerID: sha256:1"}
