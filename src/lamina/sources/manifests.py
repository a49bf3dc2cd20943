"""Images that are resolved to a manifest: their cache keys, and refs to their layers."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.digest import Digest, digest_of
from lamina.base.errors import Corrupt, InvalidInput
from lamina.base.gojson import encode
from lamina.base.json_document import load_json_object
from lamina.base.named_tuple import NamedTuple
from lamina.base.oci import diff_ids_of
from lamina.refs.ref import Ref
from lamina.solver.contract import CacheMap
from lamina.sources.contract import source_digest
from lamina.stores.layers import Layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.oci import Manifest
    from lamina.base.platform import Platform
    from lamina.refs.manager import RefManager
    from lamina.stores.origins import Origin


class ResolvedManifest(NamedTuple):
    """An image of one platform.

    `digest` is the one that the image's name resolves to, of an index or a manifest. `manifest` is
    the manifest of the platform, and `own` its digest. `origin` is where its layers can be fetched
    from, None if it is not known.
    """

    digest: Digest
    manifest: Manifest
    config: bytes
    own: Digest
    origin: Origin | None = None


def add_origin(refs: RefManager, resolved: ResolvedManifest) -> None:
    """Record where the layers of an image that was just resolved can be fetched from."""
    if resolved.origin is not None:
        refs.origins.add([layer.digest for layer in resolved.manifest.layers], resolved.origin)


def lowest_layers(resolved: ResolvedManifest, limit: str) -> ResolvedManifest:
    """The image with its lowest `limit` layers; unchanged if `limit` is empty. Raises
    InvalidInput."""
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
    """The cache key of an image: its layers, independent of the rest of its configuration.

    The alias is the key that BuildKit uses before it has read the configuration.
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
    """The chain ID of each layer (OCI image spec, "Layer ChainID")."""
    chains: list[str] = []
    for diff_id in diff_ids:
        joined = f"{chains[-1]} {diff_id}".encode() if chains else b""
        chains.append(f"sha256:{sha256(joined).hexdigest()}" if chains else str(diff_id))
    return chains


def image_ref(refs: RefManager, resolved: ResolvedManifest, name: str) -> Ref:
    """A ref to the snapshot of an image's layers. Layers with the same chain ID share snapshots.

    `name` is the image's name in messages and descriptions. Raises Corrupt if the configuration
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
