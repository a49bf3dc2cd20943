"""The oci-layout source: an image in a folder of the client's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.digest import parse_digest
from lamina.base.errors import Corrupt, InvalidInput, NotFound, Unsupported
from lamina.base.oci import (
    ANNOTATION_REF_NAME,
    Descriptor,
    Index,
    parse_manifest,
    select_platform,
)
from lamina.solver.contract import CacheMap
from lamina.sources.contract import source_digest
from lamina.sources.image import ResolvedManifest, image_key, image_ref

if TYPE_CHECKING:
    from lamina.base.digest import Digest
    from lamina.base.platform import Platform
    from lamina.refs.pool import RefPool
    from lamina.refs.ref import Ref
    from lamina.solver.contract import OpContext
    from lamina.stores.blobs import BlobStore
    from lamina.system.cancel import Cancellation


class LayoutSource:
    """`location` is `/folder[:tag][@digest]`. What is needed is copied into the store, checked."""

    def __init__(self, location: str, platform: Platform, blobs: BlobStore, pool: RefPool) -> None:
        self._folder, self._tag, self._digest = parse_location(location)
        self._location = location
        self._platform = platform
        self._blobs = blobs
        self._pool = pool

    def resolve(self, cancel: Cancellation) -> ResolvedManifest:
        """Raises NotFound, Corrupt, Unsupported (platform)."""
        target = self._target()
        document = parse_manifest(self._read(target, cancel))
        if isinstance(document, Index):
            chosen = select_platform(document, self._platform)
            if chosen is None:
                raise Unsupported(f"{self._location} has no image for {self._platform}")
            document = parse_manifest(self._read(chosen, cancel))
            if isinstance(document, Index):
                raise Corrupt(f"{self._location}: an index within an index")
        config = self._read(document.config, cancel)
        return ResolvedManifest(target.digest, document, config, target.digest)

    def cache_map(self, context: OpContext) -> CacheMap:
        resolved = self.resolve(context.cancel)
        return CacheMap(source_digest(image_key(resolved, self._platform)))

    def fetch(self, context: OpContext) -> Ref:
        resolved = self.resolve(context.cancel)
        for layer in resolved.manifest.layers:
            self._copy(layer, context.cancel)
        return image_ref(self._pool, resolved, self._location)

    def _target(self) -> Descriptor:
        path = os.path.join(self._folder, "index.json")
        try:
            with open(path, "rb") as file:
                index = parse_manifest(file.read(), "application/vnd.oci.image.index.v1+json")
        except FileNotFoundError:
            raise NotFound(f"{self._folder} is not an OCI layout: it has no index.json") from None
        if not isinstance(index, Index) or not index.manifests:
            raise Corrupt(f"{path} lists no image")
        if self._digest is not None:
            matches = [d for d in index.manifests if d.digest == self._digest]
        elif self._tag:
            matches = [
                d
                for d in index.manifests
                if dict(d.annotations).get(ANNOTATION_REF_NAME) == self._tag
            ]
        elif len(index.manifests) == 1:
            matches = list(index.manifests)
        else:
            matches = [
                d
                for d in index.manifests
                if dict(d.annotations).get(ANNOTATION_REF_NAME) == "latest"
            ]
        if not matches:
            tags = [dict(d.annotations).get(ANNOTATION_REF_NAME, "") for d in index.manifests]
            raise NotFound(
                f"{self._location} is not in the layout",
                hint=f"it has: {', '.join(filter(None, tags)) or 'images without tags'}",
            )
        return matches[0]

    def _read(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        self._copy(descriptor, cancel)
        return self._blobs.read(descriptor.digest)

    def _copy(self, descriptor: Descriptor, cancel: Cancellation) -> None:
        copy_blob(self._folder, descriptor, self._blobs, cancel)


def copy_blob(folder: str, descriptor: Descriptor, blobs: BlobStore, cancel: Cancellation) -> None:
    """Bring a blob of a layout into the store, checked. Raises NotFound, Corrupt, Cancelled."""
    if blobs.has(descriptor.digest):
        return
    path = os.path.join(folder, "blobs", descriptor.digest.algorithm, descriptor.digest.hex)
    try:
        with open(path, "rb") as file, blobs.ingest(descriptor, cancel) as writer:
            file.seek(writer.offset)
            while chunk := file.read(1 << 20):
                cancel.check()
                writer.write(chunk)
            writer.commit()
    except FileNotFoundError:
        raise NotFound(f"{folder} lacks the blob {descriptor.digest}") from None


def parse_location(text: str) -> tuple[str, str, Digest | None]:
    """Split `/folder[:tag][@digest]`. Raises InvalidInput."""
    rest, at, digest_text = text.partition("@")
    digest = parse_digest(digest_text) if at else None
    folder, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        folder, tag = rest, ""
    if not folder:
        raise InvalidInput(f'"{text}" names no folder')
    return folder, tag, digest
