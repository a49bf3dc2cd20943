"""OCI image documents as values: descriptors, manifests, indexes (OCI image spec v1.1).

Only what lamina reads has a field. The exact bytes of a document are kept beside the value, because
digests are computed over bytes.
"""

from __future__ import annotations

from typing import Any

from lamina.base.digest import Digest, parse_digest
from lamina.base.errors import Corrupt, LaminaError
from lamina.base.json_document import (
    items,
    load_json_object,
    members,
    text,
    text_pairs,
    texts,
    whole_number,
)
from lamina.base.named_tuple import NamedTuple
from lamina.base.platform import Platform

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD = OCI_LAYER + "+zstd"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"
DOCKER_LAYER_ZSTD = DOCKER_LAYER + ".zstd"

MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEX_TYPES = (OCI_INDEX, DOCKER_INDEX)

ANNOTATION_REF_NAME = "org.opencontainers.image.ref.name"
ANNOTATION_IMAGE_NAME = "io.containerd.image.name"
ANNOTATION_CREATED = "org.opencontainers.image.created"

IMAGE_CONFIG_KEY = "containerimage.config"
"""A result's metadata, and an exporter's attribute: the image configuration (BuildKit)."""
INLINE_KEY = "moby.buildkit.cache.v0"
"""The member of a configuration with BuildKit's inline cache."""


class Descriptor(NamedTuple):
    """Describes a blob: media type, digest and size (OCI image spec, `descriptor.md`)."""

    media_type: str
    digest: Digest
    size: int
    annotations: tuple[tuple[str, str], ...] = ()
    platform: Platform | None = None
    urls: tuple[str, ...] = ()
    artifact_type: str = ""

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.urls:
            document["urls"] = list(self.urls)
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        if self.platform is not None:
            document["platform"] = platform_to_json(self.platform)
        if self.artifact_type:
            document["artifactType"] = self.artifact_type
        return document


class Manifest(NamedTuple):
    """One image: a config and its layers, lowest first."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
        }
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return document


class Index(NamedTuple):
    """Several manifests with one name, usually one for each platform."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "manifests": [manifest.to_json() for manifest in self.manifests],
        }
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return document


def platform_to_json(platform: Platform) -> dict[str, Any]:
    document: dict[str, Any] = {"architecture": platform.architecture, "os": platform.os}
    if platform.os_version:
        document["os.version"] = platform.os_version
    if platform.os_features:
        document["os.features"] = list(platform.os_features)
    if platform.variant:
        document["variant"] = platform.variant
    return document


def platform_from_json(document: dict[str, Any]) -> Platform:
    """Read a platform. Raises Corrupt if a member has the wrong type."""
    try:
        return Platform(
            os=text(document.get("os")),
            architecture=text(document.get("architecture")),
            variant=text(document.get("variant")),
            os_version=text(document.get("os.version")),
            os_features=texts(document.get("os.features")),
        )
    except ValueError as error:
        raise Corrupt(f"malformed platform: {error}") from error


def descriptor_from_json(document: object) -> Descriptor:
    """Read one descriptor. Raises Corrupt if a required field is missing or malformed."""
    try:
        found = members(document)
        platform = members(found.get("platform"))
        return Descriptor(
            media_type=text(found["mediaType"]),
            digest=parse_digest(text(found["digest"])),
            size=whole_number(found["size"]),
            annotations=text_pairs(found.get("annotations")),
            platform=platform_from_json(platform) if platform else None,
            urls=texts(found.get("urls")),
            artifact_type=text(found.get("artifactType")),
        )
    except KeyError as error:
        raise Corrupt(f"malformed descriptor: it has no {error.args[0]}") from error
    except (ValueError, LaminaError) as error:
        raise Corrupt(f"malformed descriptor: {error}") from error


def parse_manifest(data: bytes, media_type: str = "") -> Manifest | Index:
    """Read a manifest or an index of either family (OCI, Docker).

    Args:
        data: the document's bytes.
        media_type: its declared media type. If empty, the document's `mediaType` or its fields
            decide.

    Raises Corrupt.
    """
    document = load_json_object(data, "manifest")
    try:
        kind = text(document.get("mediaType")) or media_type
        annotations = text_pairs(document.get("annotations"))
        if kind in INDEX_TYPES or (not kind and "manifests" in document):
            manifests = tuple(map(descriptor_from_json, items(document.get("manifests"))))
            return Index(kind or OCI_INDEX, manifests, annotations)
        if "config" not in document or "layers" not in document:
            raise Corrupt(f"not an image manifest: {kind or 'no media type, no config, no layers'}")
        return Manifest(
            kind if kind in MANIFEST_TYPES else OCI_MANIFEST,
            descriptor_from_json(document["config"]),
            tuple(map(descriptor_from_json, items(document["layers"]))),
            annotations,
        )
    except ValueError as error:
        raise Corrupt(f"malformed manifest: {error}") from error


def diff_ids_of(config: dict[str, Any], what: str = "image configuration") -> tuple[Digest, ...]:
    """The digests of an image's uncompressed layers, none if it has no list. Raises Corrupt."""
    try:
        rootfs = members(config.get("rootfs"))
        return tuple(map(parse_digest, texts(rootfs.get("diff_ids"))))
    except (ValueError, LaminaError) as error:
        raise Corrupt(f"malformed {what}: rootfs: {error}") from error


def select_platform(index: Index, wanted: Platform) -> Descriptor | None:
    """Pick the best manifest of an index for a machine: an exact match, else a compatible one.

    Attestation manifests (platform unknown/unknown) are never picked.
    """
    compatible: Descriptor | None = None
    for descriptor in index.manifests:
        platform = descriptor.platform
        if platform is None:
            if len(index.manifests) == 1:
                return descriptor
            continue
        if not wanted.accepts(platform):
            continue
        if str(platform) == str(wanted):
            return descriptor
        compatible = compatible or descriptor
    return compatible
