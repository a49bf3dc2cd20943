"""The blobs that manifests and indexes refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.oci import Index, Manifest, parse_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.base.digest import Digest
    from lamina.stores.blobs import BlobStore

_LAYERS = ("image.layer.", "image.rootfs.")


def reachable(blobs: BlobStore, digest: Digest) -> set[str]:
    """The blobs that a manifest or index refers to, including itself; none if it is not in the
    store."""
    found: set[str] = set()
    for name, manifest in _below(blobs, digest):
        found.add(name)
        if manifest is not None:
            found.add(manifest.config.digest)
            found.update(layer.digest for layer in manifest.layers)
    return found


def documents(blobs: BlobStore, digest: Digest) -> set[str]:
    """The blobs of `reachable` that are in the store and are not layers of files: manifests,
    configurations, attestations."""
    found: set[str] = set()
    for name, manifest in _below(blobs, digest):
        found.add(name)
        if manifest is not None:
            small = (
                entry
                for entry in manifest.layers
                if not any(part in entry.media_type for part in _LAYERS)
            )
            small_blobs = (manifest.config, *small)
            found.update(entry.digest for entry in small_blobs if blobs.has(entry.digest))
    return found


def _below(blobs: BlobStore, digest: Digest) -> Iterator[tuple[str, Manifest | None]]:
    """A manifest, or an index (None) and all below it: those that are here, by their digests."""
    if not blobs.has(digest):
        return
    document = parse_manifest(blobs.read(digest))
    if isinstance(document, Index):
        yield str(digest), None
        for entry in document.manifests:
            yield from _below(blobs, entry.digest)
    else:
        yield str(digest), document
