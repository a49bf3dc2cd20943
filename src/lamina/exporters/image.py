"""Image documents: the complete config, and the manifest (OCI image spec)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base import oci
from lamina.base.digest import digest_of
from lamina.base.errors import InvalidInput, Unsupported
from lamina.base.gojson import encode, encode_indented
from lamina.base.json_document import load_json_object
from lamina.base.oci import Descriptor, platform_from_json
from lamina.base.platform import normalise
from lamina.base.times import format_time, is_after
from lamina.exporters.contract import ExportedImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.base.platform import Platform
    from lamina.exporters.contract import LayerInfo

_HISTORY_FIELDS = ("created", "created_by", "author", "comment", "empty_layer")
_TO_OCI = {
    oci.DOCKER_LAYER: oci.OCI_LAYER,
    oci.DOCKER_LAYER_GZIP: oci.OCI_LAYER_GZIP,
    oci.DOCKER_LAYER_ZSTD: oci.OCI_LAYER_ZSTD,
}
_TO_DOCKER = {theirs: docker for docker, theirs in _TO_OCI.items()}
_INTERNAL_ANNOTATIONS = ("containerd.io/uncompressed", "buildkit/createdat")


def assemble(
    config: bytes,
    layers: Sequence[LayerInfo],
    *,
    names: Sequence[str] = (),
    docker_types: bool = False,
    annotations: Sequence[tuple[str, str]] = (),
    descriptor_annotations: Sequence[tuple[str, str]] = (),
    epoch: int | None = None,
    base: bytes | None = None,
) -> ExportedImage:
    """Make the manifest and the final config. The same arguments give the same bytes.

    Args:
        config: the frontend's image config. `rootfs` and the gaps in `history` are filled in here;
            unknown fields are kept.
        layers: lowest first.
        names: full references that will name the image.
        docker_types: use Docker's media types, not OCI's.
        annotations: the manifest's; `descriptor_annotations` those of its descriptor.
        epoch: SOURCE_DATE_EPOCH. Later times become this, except in the history of the base image.
        base: the base image's config.

    Raises InvalidInput, Corrupt, Unsupported.
    """
    if docker_types and (annotations or descriptor_annotations):
        raise InvalidInput("annotations need OCI media types", hint="remove oci-mediatypes=false")
    document = load_json_object(config, "image config")
    for field in ("os", "architecture"):
        if not document.get(field):
            raise InvalidInput(f"the image config has no {field}")
    history = _complete_history(_history(document, "image config"), layers)
    if epoch is not None:
        inherited = _history(load_json_object(base, "base image config"), "") if base else []
        _clamp(history, inherited, epoch)
        if document.get("created") and is_after(str(document["created"]), epoch):
            document["created"] = format_time(epoch)
    if not document.get("created"):
        times = [entry["created"] for entry in history if entry.get("created")]
        if times:
            document["created"] = times[-1]
        else:
            document.pop("created", None)
    document["rootfs"] = {"type": "layers", "diff_ids": [str(layer.diff_id) for layer in layers]}
    document["history"] = history
    platform = normalise(platform_from_json(document))
    created = str(document.get("created") or format_time(epoch or 0))
    data = encode({key: document[key] for key in sorted(document)})
    descriptors = tuple(_layer(layer.descriptor, docker_types) for layer in layers)
    return _manifest(
        data,
        descriptors,
        platform,
        created,
        tuple(names),
        docker_types,
        tuple(sorted(annotations)),
        tuple(sorted(descriptor_annotations)),
    )


def _manifest(
    config: bytes,
    layers: tuple[Descriptor, ...],
    platform: Platform,
    created: str,
    names: tuple[str, ...],
    docker_types: bool,
    annotations: tuple[tuple[str, str], ...],
    descriptor_annotations: tuple[tuple[str, str], ...],
) -> ExportedImage:
    kind = oci.DOCKER_MANIFEST if docker_types else oci.OCI_MANIFEST
    config_kind = oci.DOCKER_CONFIG if docker_types else oci.OCI_CONFIG
    config_descriptor = Descriptor(config_kind, digest_of(config), len(config))
    manifest = oci.Manifest(kind, config_descriptor, layers, annotations)
    data = encode_indented(manifest.to_json())
    target = Descriptor(
        kind, digest_of(data), len(data), annotations=descriptor_annotations, platform=platform
    )
    return ExportedImage(target, data, config_descriptor, config, layers, created, names)


def load_exported(
    target: Descriptor, manifest: bytes, config: bytes, names: Sequence[str]
) -> ExportedImage:
    """Load an image that was assembled earlier from its documents. Raises Corrupt, Unsupported."""
    parsed = oci.parse_manifest(manifest, target.media_type)
    if isinstance(parsed, oci.Index):
        raise Unsupported("an image index cannot be exported as one image")
    document = load_json_object(config, "image config")
    created = str(document.get("created") or format_time(0))
    if target.platform is None:
        target = target._replace(platform=normalise(platform_from_json(document)))
    return ExportedImage(
        target, manifest, parsed.config, config, parsed.layers, created, tuple(names)
    )


def _layer(descriptor: Descriptor, docker_types: bool) -> Descriptor:
    """The descriptor for a manifest: with the media type of its family, without private
    annotations."""
    kinds = _TO_DOCKER if docker_types else _TO_OCI
    kept = sorted(
        (key, value)
        for key, value in descriptor.annotations
        if key not in _INTERNAL_ANNOTATIONS
        and not key.startswith("containerd.io/distribution.source.")
    )
    return Descriptor(
        kinds.get(descriptor.media_type, descriptor.media_type),
        descriptor.digest,
        descriptor.size,
        () if docker_types else tuple(kept),
        urls=descriptor.urls,
    )


def _history(document: dict[str, Any], what: str) -> list[dict[str, Any]]:
    entries = document.get("history") or []
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise InvalidInput(f"malformed history in the {what or 'base image config'}")
    # Only the fields of the spec, in its order, without empty ones.
    return [{key: e[key] for key in _HISTORY_FIELDS if e.get(key)} for e in entries]


def _complete_history(
    history: list[dict[str, Any]], layers: Sequence[LayerInfo]
) -> list[dict[str, Any]]:
    """Make exactly one non-empty entry for each layer. If any entry has a time, all get one."""
    seen = 0
    for entry in history:
        if not entry.get("empty_layer"):
            if seen == len(layers):
                entry["empty_layer"] = True
            else:
                seen += 1
    for layer in layers[seen:]:
        by = layer.description or "created by lamina"
        history.append({"created_by": by, "comment": "buildkit.exporter.image.v0"})
    remaining = iter(layers)
    for entry in history:
        if not entry.get("empty_layer"):
            made = next(remaining).created
            if not entry.get("created") and made is not None:
                entry["created"] = format_time(made)
    return [
        {key: entry[key] for key in _HISTORY_FIELDS if key in entry}
        for entry in _fill_times(history)
    ]


def _fill_times(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Set missing times of entries (metadata steps) to that of the previous entry.

    Entries before the first new layer get the time of that layer, since an old base image does not
    record their times.
    """
    current: str | None = None
    gap = False
    for entry in history:
        if entry.get("created"):
            current = entry["created"]
            if gap:
                break
        else:
            gap = True
    gap = False
    for entry in history:
        if entry.get("created"):
            if gap:
                current = entry["created"]
        else:
            gap = True
            if current is not None:
                entry["created"] = current
    return history


def _clamp(history: list[dict[str, Any]], base: list[dict[str, Any]], epoch: int) -> None:
    inherited = True
    for number, entry in enumerate(history):
        if inherited and number < len(base) and base[number] == entry:
            continue
        inherited = False
        if not entry.get("created") or is_after(str(entry["created"]), epoch):
            rest = {key: value for key, value in entry.items() if key != "created"}
            history[number] = {"created": format_time(epoch), **rest}
