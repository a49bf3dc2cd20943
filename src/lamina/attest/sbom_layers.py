"""Adds layers to SPDX documents: which layer of the image has each file that they list.

BuildKit's `exporter/containerimage/attestations.go` does the same.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lamina import __version__
from lamina.sbom.spdx import PREDICATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.attest.contract import DescribedImage
    from lamina.exporters.attestation import Statement


def with_layers(statement: Statement, image: DescribedImage) -> Statement:
    """The statement of a scanner, with the comment `layerID: DIGEST` on files that have none.

    Documents that are not SPDX, and files that are not in the image, stay as they are.
    """
    if statement.predicate_type != PREDICATE:
        return statement
    try:
        document = json.loads(statement.predicate)
        if not str(document.get("spdxVersion", "")).startswith("SPDX-"):
            return statement
        changed = False
        for file in _files(document):
            if not file.get("comment") and (layer := image.layer_of(str(file.get("fileName", "")))):
                file["comment"] = f"layerID: {layer}"
                changed = True
        tool = f"Tool: lamina-{__version__}"
        made = document.get("creationInfo") or {}
        creators = made.get("creators") or []
        if tool not in creators:
            document["creationInfo"] = {**made, "creators": [*creators, tool]}
            changed = True
    except (ValueError, RecursionError, AttributeError, TypeError):
        return statement  # exporters do not check the documents of scanners
    if not changed:
        return statement
    text = json.dumps(document, ensure_ascii=False)
    return statement._replace(predicate=text.encode("utf-8", "replace"))


def _files(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from document.get("files") or ()
    for package in document.get("packages") or ():
        yield from package.get("files") or ()
