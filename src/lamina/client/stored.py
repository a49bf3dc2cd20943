"""Descriptions of images in the local store. An index is one image there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lamina.base.errors import NotFound
from lamina.base.oci import Index, Manifest, parse_manifest, select_platform
from lamina.base.platform import Platform, host_platform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.base.digest import Digest
    from lamina.base.oci import Descriptor
    from lamina.stores.blobs import BlobStore


def own_digest(blobs: BlobStore, digest: Digest) -> Digest:
    """The digest that identifies an image: that of its configuration, or of the index."""
    document = parse_manifest(blobs.read(digest))
    return document.config.digest if isinstance(document, Manifest) else digest


def platforms_of(blobs: BlobStore, digest: Digest) -> list[Platform]:
    """The platform of an image, or those of the images of an index."""
    document = parse_manifest(blobs.read(digest))
    if isinstance(document, Manifest):
        config = json.loads(blobs.read(document.config.digest))
        if not (isinstance(config, dict) and config.get("os") and config.get("architecture")):
            return []
        system, architecture = str(config["os"]), str(config["architecture"])
        return [Platform(system, architecture, str(config.get("variant") or ""))]
    return [entry.platform for entry in _images(document) if entry.platform is not None]


def total_size(blobs: BlobStore, digest: Digest) -> int:
    """The size of an image in bytes, with each blob counted once."""
    sizes: dict[Digest, int] = {}

    def add(digest: Digest) -> None:
        data = blobs.read(digest)
        sizes[digest] = len(data)
        document = parse_manifest(data)
        if isinstance(document, Index):
            for entry in document.manifests:
                if blobs.has(entry.digest):
                    add(entry.digest)
        else:
            for part in (document.config, *document.layers):
                sizes[part.digest] = part.size

    add(digest)
    return sum(sizes.values())


def describe(blobs: BlobStore, digest: Digest) -> dict[str, Any]:
    """Digest, manifest and configuration; for an index also `images`, the same of each image."""
    data = blobs.read(digest)
    document = parse_manifest(data)
    described = {"digest": str(digest), "manifest": json.loads(data)}
    if isinstance(document, Manifest):
        described["config"] = json.loads(blobs.read(document.config.digest))
    else:
        described["images"] = [
            {"platform": str(entry.platform or ""), **describe(blobs, entry.digest)}
            for entry in _images(document)
            if blobs.has(entry.digest)
        ]
    return described


def manifest_for_here(blobs: BlobStore, digest: Digest, name: str) -> tuple[Digest, Manifest]:
    """The image, or the one in an index that runs here. Raises NotFound."""
    return manifest_of(blobs, digest, name, host_platform())


def manifest_of(
    blobs: BlobStore, digest: Digest, name: str, platform: Platform
) -> tuple[Digest, Manifest]:
    """The image, or the one in an index for a platform. Raises NotFound."""
    document = parse_manifest(blobs.read(digest))
    if isinstance(document, Manifest):
        return digest, document
    chosen = select_platform(document, platform)
    if chosen is None or not blobs.has(chosen.digest):
        held = ", ".join(str(entry.platform) for entry in _images(document))
        raise NotFound(f"{name} has no image for {platform}", hint=f"it has: {held}")
    return manifest_of(blobs, chosen.digest, name, platform)


def _images(index: Index) -> Iterator[Descriptor]:
    """The entries that are not attestations."""
    return (e for e in index.manifests if e.platform is None or e.platform.os != "unknown")
