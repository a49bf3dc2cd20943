"""BuildKit's cache format as values: `application/vnd.buildkit.cacheconfig.v0`.

    layers   blobs, each with a parent (-1: none)
    records  a digest; for each input the records that are its alternatives; and the results, each
             the index of its uppermost layer, or (`chains`) the indexes of all its layers

The manifest is an image manifest with this config, or an index that lists the blobs and the config.
An inline cache consists of the records, in base64, in the config of an image.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lamina.base import oci
from lamina.base.digest import Digest, digest_of, parse_digest
from lamina.base.errors import Corrupt, LaminaError
from lamina.base.json_document import (
    items,
    load_json,
    load_json_object,
    members,
    text,
    whole_number,
)
from lamina.base.named_tuple import NamedTuple
from lamina.base.oci import INLINE_KEY, Descriptor

if TYPE_CHECKING:
    from collections.abc import Sequence

MEDIA_TYPE = "application/vnd.buildkit.cacheconfig.v0"
UNCOMPRESSED = "containerd.io/uncompressed"
CREATED_AT = "buildkit/createdat"
DESCRIPTION = "buildkit/description"
_DEEPEST = 4096  # maximum number of stacked layers: more than any snapshotter supports


class Link(NamedTuple):
    """A record that is an alternative for an input."""

    record: int
    selector: str = ""


class Result(NamedTuple):
    """Layers by index, lowest first, and their creation time (RFC 3339)."""

    layers: tuple[int, ...]
    created: str


class Record(NamedTuple):
    """The cache record of one output of a step."""

    digest: Digest
    inputs: tuple[tuple[Link, ...], ...] = ()
    results: tuple[Result, ...] = ()


def in_order(records: Sequence[Record]) -> tuple[Record, ...]:
    """The same records, without loops, in a canonical order.

    The order does not depend on how a build found the records, so an image with an inline cache has
    the same digest when it is built again. They are sorted by digest first (BuildKit).
    """
    names: dict[int, str] = {}

    def name(number: int) -> str:
        if number not in names:
            record = records[number]
            inputs = [sorted((name(at), by) for at, by in links) for links in record.inputs]
            names[number] = str(digest_of(repr((record.digest, inputs)).encode()))
        return names[number]

    for number in sorted(range(len(records)), key=lambda number: bool(records[number].inputs)):
        name(number)  # sources come before their users, except contents: no deep recursion
    order = sorted(
        range(len(records)),
        key=lambda number: (records[number].digest, name(number), records[number].results),
    )
    moved = {number: index for index, number in enumerate(order)}
    return tuple(
        records[number]._replace(
            inputs=tuple(
                tuple(sorted(Link(moved[at], by) for at, by in links))
                for links in records[number].inputs
            )
        )
        for number in order
    )


class CacheConfig(NamedTuple):
    """A cache config. The manifest's annotations describe `layers`: diff ID, creation time.

    `parents` is the index of each layer's parent, -1 for none.
    """

    layers: tuple[Descriptor, ...]
    parents: tuple[int, ...]
    records: tuple[Record, ...]


def encode(config: CacheConfig) -> bytes:
    """The config blob."""
    document = {
        "layers": [
            # Go leaves out zero values: a missing parent is the first layer.
            {"blob": str(layer.digest), **({"parent": parent} if parent else {})}
            for layer, parent in zip(config.layers, config.parents, strict=True)
        ],
        "records": encode_records(config),
    }
    return json.dumps(document, separators=(",", ":")).encode()


def encode_records(config: CacheConfig) -> list[dict[str, Any]]:
    """The records only, for inline caches."""
    return [_record_to_json(record, config.parents) for record in config.records]


def _record_to_json(record: Record, parents: Sequence[int]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    stacked = [r for r in record.results if _is_stack(r.layers, parents)]
    chained = [r for r in record.results if not _is_stack(r.layers, parents)]
    if stacked:
        document["layers"] = [{"layer": r.layers[-1], "createdAt": r.created} for r in stacked]
    if chained:
        document["chains"] = [{"layers": list(r.layers), "createdAt": r.created} for r in chained]
    document["digest"] = str(record.digest)
    if record.inputs:
        document["inputs"] = [
            [
                {**({"selector": link.selector} if link.selector else {}), "link": link.record}
                for link in links
            ]
            for links in record.inputs
        ]
    return document


def _is_stack(layers: tuple[int, ...], parents: Sequence[int]) -> bool:
    below = -1
    for layer in layers:
        if parents[layer] != below:
            return False
        below = layer
    return bool(layers)


def make_manifest(
    config: CacheConfig, blob: bytes, *, image_manifest: bool, docker_types: bool
) -> tuple[Descriptor, bytes]:
    """The manifest of a config blob and its layers, and its descriptor."""
    described = Descriptor(MEDIA_TYPE, digest_of(blob), len(blob))
    seen: dict[Digest, Descriptor] = {}
    for layer in config.layers:
        seen.setdefault(layer.digest, layer)
    if image_manifest:
        kind = oci.OCI_MANIFEST
        manifest = oci.Manifest(kind, described, tuple(seen.values()))
        data = json.dumps(manifest.to_json(), separators=(",", ":")).encode()
    else:
        kind = oci.DOCKER_INDEX if docker_types else oci.OCI_INDEX
        index = oci.Index(kind, (*seen.values(), described))
        data = json.dumps(index.to_json(), separators=(",", ":")).encode()
    return Descriptor(kind, digest_of(data), len(data)), data


def find_config(data: bytes) -> tuple[Descriptor | None, tuple[Descriptor, ...]]:
    """The cache config of a manifest, if it is a cache's, and its layers. Raises Corrupt."""
    document = oci.parse_manifest(data)
    if isinstance(document, oci.Index):
        config = next((d for d in document.manifests if d.media_type == MEDIA_TYPE), None)
        return config, tuple(d for d in document.manifests if d.media_type != MEDIA_TYPE)
    config = document.config if document.config.media_type == MEDIA_TYPE else None
    return config, document.layers


def decode(blob: bytes, layers: Sequence[Descriptor]) -> CacheConfig:
    """Decode a config blob. `layers` are those of the manifest. Raises Corrupt."""
    known = {layer.digest: layer for layer in layers}
    document = load_json_object(blob, "cache config")
    try:
        entries = [
            (known.get(parse_digest(text(entry["blob"]))), whole_number(entry.get("parent"), -1))
            for entry in map(members, items(document.get("layers")))
        ]
        return _decode(entries, items(document.get("records")))
    except (KeyError, ValueError, LaminaError) as error:
        raise Corrupt(f"malformed cache config: {error}") from error


def decode_inline(
    config: dict[str, Any], layers: Sequence[Descriptor], diff_ids: Sequence[Digest]
) -> CacheConfig | None:
    """The inline cache in an image's config, if there is one. Raises Corrupt."""
    from base64 import b64decode

    if INLINE_KEY not in config or len(diff_ids) != len(layers):
        return None
    try:
        history = [
            ((CREATED_AT, text(entry.get("created"))), (DESCRIPTION, text(entry.get("created_by"))))
            for entry in map(members, items(config.get("history")))
            if not entry.get("empty_layer")
        ]
        entries: list[tuple[Descriptor | None, int]] = []
        for index, (layer, diff_id) in enumerate(zip(layers, diff_ids, strict=True)):
            known = history[index] if index < len(history) else ()
            notes = ((UNCOMPRESSED, str(diff_id)), *(pair for pair in known if pair[1]))
            entries.append((layer._replace(annotations=notes), index - 1))
        packed = b64decode(text(config[INLINE_KEY]))
        return _decode(entries, items(load_json(packed, "inline cache")))
    except (KeyError, ValueError, LaminaError) as error:
        raise Corrupt(f"malformed inline cache: {error}") from error


def _decode(entries: list[tuple[Descriptor | None, int]], records: list[Any]) -> CacheConfig:
    parents = [parent for _, parent in entries]
    placeholder = Descriptor("", Digest(""), 0)
    layers = tuple(layer or placeholder for layer, _ in entries)

    def stack(top: int) -> tuple[int, ...]:
        found: list[int] = []
        while top != -1:
            if not 0 <= top < len(layers) or len(found) >= _DEEPEST:
                raise ValueError(f"layer {top} does not exist, or has too many parents")
            found.append(top)
            top = parents[top]
        return tuple(reversed(found))

    def whole(indexes: tuple[int, ...]) -> bool:
        return all(0 <= i < len(layers) and layers[i].digest for i in indexes)

    decoded = []
    for entry in map(members, records):
        results = [
            Result(stack(whole_number(r.get("layer"))), text(r.get("createdAt")))
            for r in map(members, items(entry.get("layers")))
        ]
        results += [
            Result(tuple(map(whole_number, items(r.get("layers")))), text(r.get("createdAt")))
            for r in map(members, items(entry.get("chains")))
        ]
        last = len(records) - 1
        inputs = tuple(
            tuple(
                Link(whole_number(link.get("link"), 0, last), text(link.get("selector")))
                for link in map(members, items(links))
            )
            for links in items(entry.get("inputs"))
        )
        decoded.append(
            Record(
                parse_digest(text(entry["digest"])),
                inputs,
                tuple(r for r in results if whole(r.layers)),
            )
        )
    return CacheConfig(layers, tuple(parents), tuple(decoded))
