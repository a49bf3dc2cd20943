"""The image source: resolves names to manifests. Layers are fetched when they are needed."""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING

from lamina.base.digest import Digest, digest_of
from lamina.base.errors import Corrupt, InvalidInput, NotFound, Unavailable, Unsupported
from lamina.base.oci import Index, parse_manifest, select_platform
from lamina.sources.manifests import (
    ResolvedManifest,
    add_origin,
    image_map,
    image_ref,
    lowest_layers,
)
from lamina.stores.origins import Origin, OriginKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.oci import Descriptor
    from lamina.base.platform import Platform
    from lamina.base.reference import Reference
    from lamina.refs.manager import RefManager
    from lamina.refs.ref import Ref
    from lamina.registry.client import RegistryClient
    from lamina.solver.contract import CacheMap, OpContext
    from lamina.sources.material import Material
    from lamina.stores.images import ImageTable, StoredImage
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation

FRESH = 15 * 60
"""Seconds after which a tag is resolved at its registry again."""


class ResolveMode(Enum):
    """Where a tag is resolved (`image.resolvemode`; REMOTE is BuildKit's `default`).

    LOCAL: in the local store, or from a recent response of the registry. REMOTE: at the registry,
    or locally if it cannot be reached. PULL: only at the registry.
    """

    LOCAL = "local"
    REMOTE = "default"
    PULL = "pull"

    @classmethod
    def parse(cls, text: str) -> ResolveMode:
        """Parse a mode. Raises InvalidInput."""
        try:
            return cls(text or "default")
        except ValueError:
            raise InvalidInput(f'unknown image resolve mode "{text}"') from None


class ImageResolver:
    """Finds images, in the local store and in registries.

    Args:
        remembers: whether earlier responses of a registry may be used. In a daemon they may not:
            they could be those to another client's credentials.
    """

    def __init__(
        self,
        store: Store,
        images: ImageTable,
        registry: Callable[[], RegistryClient],
        mode: ResolveMode,
        *,
        remembers: bool = True,
    ) -> None:
        self._remembers = remembers
        self._blobs = store.blobs
        self._images = images
        self._registry = registry
        self._mode = mode

    def resolve(
        self, reference: Reference, platform: Platform, cancel: Cancellation
    ) -> ResolvedManifest:
        """Resolve a name. Raises NotFound, Unavailable, Unsupported (no such platform), Corrupt."""
        name = str(reference)
        digest = reference.digest
        # The same content in another repository is not enough: this one may not have it.
        if digest is not None and self._images.known(reference.name, digest):
            return self._read(digest, reference, platform, cancel)
        local = self._images.get(name) if reference.digest is None else None
        known = self._images.pull(name, str(platform)) if self._remembers else None
        if self._mode is ResolveMode.LOCAL:
            if local is not None:
                return self._read_local(local, reference, platform, cancel)
            if known is not None and time.time() - known.checked < FRESH:
                return self._read(known.digest, reference, platform, cancel)
        try:
            target = self._registry().resolve(reference, cancel)
        except (Unavailable, NotFound) as error:
            if self._mode is ResolveMode.PULL:
                raise
            if local is not None:
                return self._read_local(local, reference, platform, cancel)
            if known is None or isinstance(error, NotFound):
                raise
            return self._read(known.digest, reference, platform, cancel)
        resolved = self._read(target.digest, reference, platform, cancel)
        self._images.record_pull(name, str(platform), target.digest, resolved.own)
        return resolved

    def referrers(
        self, reference: Reference, digest: Digest, cancel: Cancellation
    ) -> Sequence[Descriptor]:
        """The manifests that refer to a manifest. See `RegistryClient.referrers`."""
        return self._registry().referrers(reference, digest, cancel)

    def _read_local(
        self, image: StoredImage, reference: Reference, platform: Platform, cancel: Cancellation
    ) -> ResolvedManifest:
        """Read an image of the local store, which its registry need not have."""
        return self._read(image.target.digest, reference, platform, cancel)._replace(origin=None)

    def _read(
        self, digest: Digest, reference: Reference, platform: Platform, cancel: Cancellation
    ) -> ResolvedManifest:
        own = digest
        document = parse_manifest(self.document(digest, reference, cancel))
        if isinstance(document, Index):
            chosen = select_platform(document, platform)
            if chosen is None:
                offered = ", ".join(
                    sorted({str(d.platform) for d in document.manifests if d.platform})
                )
                raise Unsupported(
                    f"{reference.familiar} has no image for {platform}",
                    hint=f"it supports: {offered}" if offered else "",
                )
            own = chosen.digest
            document = parse_manifest(self.document(own, reference, cancel))
            if isinstance(document, Index):
                raise Corrupt(f"{reference.familiar}: nested indexes are not supported")
        config = self.document(document.config.digest, reference, cancel, document.config)
        origin = Origin(OriginKind.IMAGE, str(reference))
        return ResolvedManifest(digest, document, config, own, origin)

    def document(
        self,
        digest: Digest,
        reference: Reference,
        cancel: Cancellation,
        descriptor: Descriptor | None = None,
    ) -> bytes:
        """Read a manifest, or with its descriptor another small blob, of an image's repository.

        Raises NotFound, PermissionDenied, Unavailable, Corrupt, Cancelled.
        """
        if self._blobs.has(digest):
            return self._blobs.read(digest)
        if descriptor is None:
            data = self._registry().manifest(reference, digest, cancel)
        else:
            data = b"".join(self._registry().blob(reference, descriptor, cancel=cancel))
            if digest_of(data) != digest:
                raise Corrupt(f"{reference.familiar}: the content does not match {digest}")
        self._blobs.put(data)
        return data


class ImageSource:
    """One image of a definition. Its layers are fetched when they are used.

    `layers` is the number of layers to use, from the lowest; "" for all. `checksum` is the digest
    that the name has to resolve to.
    """

    def __init__(
        self,
        reference: Reference,
        platform: Platform,
        resolver: ImageResolver,
        refs: RefManager,
        layers: str = "",
        checksum: Digest | None = None,
    ) -> None:
        self._reference = reference
        self._platform = platform
        self._resolver = resolver
        self._refs = refs
        self._layers = layers
        self._checksum = checksum
        self._digest: Digest | None = None

    def _resolve(self, context: OpContext) -> ResolvedManifest:
        resolved = self._resolver.resolve(self._reference, self._platform, context.cancel)
        if self._checksum not in (None, resolved.digest):
            raise Corrupt(
                f"image digest {resolved.digest} for {self._reference}"
                f" does not match expected checksum {self._checksum}",
                hint="the tag has moved, or the checksum belongs to another image",
            )
        return lowest_layers(resolved, self._layers)

    def cache_map(self, context: OpContext) -> CacheMap:
        resolved = self._resolve(context)
        self._digest = resolved.digest
        add_origin(self._refs, resolved)
        return image_map(resolved, self._platform, self._layers)

    def material(self) -> Material | None:
        if self._digest is None:
            return None
        from lamina.sources.material import ImageMaterial

        return ImageMaterial(str(self._reference), self._platform, self._digest)

    def fetch(self, context: OpContext) -> Ref:
        resolved = self._resolve(context)
        return image_ref(self._refs, resolved, str(self._reference))
