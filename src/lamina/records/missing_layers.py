"""The size of an image's layers that are not in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.digest import parse_digest
from lamina.base.errors import LaminaError
from lamina.base.oci import Index, parse_manifest, select_platform
from lamina.base.platform import parse_platform

if TYPE_CHECKING:
    from lamina.llb.op import Op
    from lamina.stores.blobs import BlobStore


def missing_size(blobs: BlobStore, op: Op) -> int | None:
    """The bytes of an image's layers that a source op would fetch.

    None if the image's manifest is not in the store.
    """
    assert op.source is not None
    _, _, digest = op.source.identifier.partition("@")
    try:
        document = parse_manifest(blobs.read(parse_digest(digest)))
        if isinstance(document, Index):
            wanted = op.platform
            names = () if wanted is None else (wanted.os, wanted.architecture, wanted.variant)
            chosen = select_platform(document, parse_platform("/".join(filter(None, names))))
            if chosen is None:
                return None
            document = parse_manifest(blobs.read(chosen.digest))
            if isinstance(document, Index):
                return None
    except LaminaError:
        return None
    missing = {layer.digest: layer.size for layer in document.layers}
    return sum(size for layer, size in missing.items() if not blobs.has(layer))
