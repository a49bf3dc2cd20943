"""The image source: names to manifests, and layers that are fetched when somebody needs them."""

from __future__ import annotations

import time
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.digest import Digest, digest_of
from lamina.base.errors import Corrupt, InvalidInput, NotFound, Unavailable, Unsupported
from lamina.base.gojson import encode
from lamina.base.json_document import load_json_object
from lamina.base.named_tuple import NamedTuple
from lamina.base.oci import Index, Manifest, diff_ids_of, parse_manifest, select_platform
from lamina.refs.ref import Ref
from lamina.solver.contract import CacheMap
from lamina.sources.contract import source_digest
from lamina.stores.layers import Layer
from lamina.stores.origins import Origin, OriginKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.oci import Descriptor
    from lamina.base.platform import Platform
    from lamina.base.reference import Reference
    from lamina.refs.manager import RefManager
    from lamina.registry.client import RegistryClient
    from lamina.solver.contract import OpContext
    from lamina.sources.material import Material
    from lamina.stores.images import ImageTable, StoredImage
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation

FRESH = 15 * 60
"""Seconds for which what a registry said of a tag is believed without asking again."""


class ResolveMode(Enum):
    """Whom to believe about a tag (`image.resolvemode`; BuildKit has `default` for REMOTE).

    LOCAL: the local store, or what a registry said of late. REMOTE: the registry, or what is
    here if it cannot be asked. PULL: the registry alone.
    """

    LOCAL = "local"
    REMOTE = "default"
    PULL = "pull"

    @classmethod
    def parse(cls, text: str) -> ResolveMode:
        """Raises InvalidInput."""
        try:
            return cls(text or "default")
        except ValueError:
            raise InvalidInput(f'unknown image resolve mode "{text}"') from None


class ResolvedManifest(NamedTuple):
    """`digest` is what the name points to; `manifest` the platform's own, whose digest is `own`.

    `origin` is where its layers can be fetched from; None if that is not known.
    """

    digest: Digest
    manifest: Manifest
    config: bytes
    own: Digest
    origin: Origin | None = None


class ImageResolver:
    """Finds images, in the local store and in registries.

    Args:
        remembers: whether what a registry said earlier may be told again. Not where one client
            would hear what another one's login was told.
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
        """Raises NotFound, Unavailable, Unsupported (no such platform), Corrupt."""
        name = str(reference)
        digest = reference.digest
        # What another repository has is not this one's, though its content is the same.
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
        """What in its repository refers to a manifest. See `RegistryClient.referrers`."""
        return self._registry().referrers(reference, digest, cancel)

    def _read_local(
        self, image: StoredImage, reference: Reference, platform: Platform, cancel: Cancellation
    ) -> ResolvedManifest:
        """An image of the local store, which its registry need not have."""
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
                    hint=f"it is made for: {offered}" if offered else "",
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
        """A manifest, or with its descriptor another small blob, of an image's repository.

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
    """One image of a definition, pinned by digest. Its layers stay where they are until used.

    `layers` says how many of them, from the lowest, are wanted; all if it is empty. `checksum`
    is what the name has to point to, whichever tag it is.
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


def add_origin(refs: RefManager, resolved: ResolvedManifest) -> None:
    """Record where the layers of an image that was just resolved can be fetched from."""
    if resolved.origin is not None:
        refs.origins.add([layer.digest for layer in resolved.manifest.layers], resolved.origin)


def lowest_layers(resolved: ResolvedManifest, limit: str) -> ResolvedManifest:
    """The image as if it had that many layers; itself if `limit` is empty. Raises InvalidInput."""
    if not limit:
        return resolved
    layers = resolved.manifest.layers
    if not limit.isascii() or not limit.isdecimal() or not 0 < int(limit[:9]) <= len(layers):
        raise InvalidInput(f"invalid layer limit {limit}: the image has {len(layers)} layers")
    count = int(limit)
    document = load_json_object(resolved.config, "image configuration")
    kept = {**(document.get("rootfs") or {}), "diff_ids": diff_ids_of(document)[:count]}
    config = encode({**document, "rootfs": kept})
    return resolved._replace(
        manifest=resolved.manifest._replace(layers=layers[:count]), config=config
    )


def image_map(resolved: ResolvedManifest, platform: Platform, limit: str = "") -> CacheMap:
    """What an image is known by: its layers, whatever else its configuration says.

    Where nobody had looked at the configuration yet, BuildKit knows it by its manifest.
    """
    named = {
        "Digest": str(resolved.digest),
        "OS": platform.os,
        "Arch": platform.architecture,
        "Variant": platform.variant or None,
        "OSVersion": platform.os_version or None,
        "OSFeatures": list(platform.os_features) or None,
        "Limit": int(limit) if limit else None,
    }
    document = {name: value for name, value in named.items() if value is not None}
    by_manifest = source_digest(str(digest_of(encode(document))))
    config = load_json_object(resolved.config, "image configuration")
    diff_ids = diff_ids_of(config)
    if not diff_ids or config["rootfs"].get("type") != "layers":
        return CacheMap(by_manifest)
    return CacheMap(source_digest(chain_ids(diff_ids)[-1]), aliases=(by_manifest,))


def chain_ids(diff_ids: Sequence[Digest]) -> list[str]:
    """Of each layer with those below it (OCI image spec, "Layer ChainID")."""
    chains: list[str] = []
    for diff_id in diff_ids:
        joined = f"{chains[-1]} {diff_id}".encode() if chains else b""
        chains.append(f"sha256:{sha256(joined).hexdigest()}" if chains else str(diff_id))
    return chains


def image_ref(refs: RefManager, resolved: ResolvedManifest, name: str) -> Ref:
    """The state that an image's layers make; known layers are known states.

    `name` is what messages and descriptions call the image. Raises Corrupt if the configuration
    and the manifest do not agree.
    """
    document = load_json_object(resolved.config, "image configuration")
    diff_ids = diff_ids_of(document)
    layers = resolved.manifest.layers
    if len(diff_ids) != len(layers):
        raise Corrupt(f"{name}: {len(layers)} layers, but {len(diff_ids)} diff ids")
    snapshot: int | None = None
    for descriptor, diff_id, chain in zip(layers, diff_ids, chain_ids(diff_ids), strict=True):
        known = refs.snapshots.by_chain(chain)
        if known is None:
            known = refs.snapshots.add(snapshot, chain=chain, description=f"pulled from {name}")
            refs.layers.add(known, Layer(descriptor, diff_id))
        snapshot = known
    add_origin(refs, resolved)
    return Ref(snapshot)
