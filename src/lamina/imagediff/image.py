"""The images that are compared: their documents, and where their layers are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from lamina.base.digest import digest_of
from lamina.base.errors import Corrupt, NotFound, Unsupported
from lamina.base.json_document import items, load_json_object, members, text
from lamina.base.named_tuple import NamedTuple
from lamina.base.oci import Index, diff_ids_of, parse_manifest, select_platform
from lamina.base.platform import Platform, host_platform
from lamina.imagediff.blob import read_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.base.digest import Digest
    from lamina.base.oci import Descriptor, Manifest
    from lamina.system.cancel import Cancellation

_MAX_LAYERS = 10_000


class ImageContent(Protocol):
    """Access to the blobs of an image: in the store, a registry, an OCI layout, or an archive."""

    def document(self, descriptor: Descriptor, cancel: Cancellation) -> bytes:
        """A manifest or an index. Raises NotFound, PermissionDenied, Unavailable, Corrupt."""
        ...

    def chunks(self, descriptor: Descriptor, cancel: Cancellation) -> Iterator[bytes]:
        """The bytes of a blob, not checked. Raises as `document` does."""
        ...


class ImageLayer(NamedTuple):
    """A layer. `number` counts from 1; `step` is the command that made it, "" if it is unknown.

    `diff_id` is None if the configuration has none. `has_blob_digest` is whether the descriptor's
    digest is that of the blob: Docker's archives know only the diff ids.
    """

    number: int
    descriptor: Descriptor
    diff_id: Digest | None
    step: str
    has_blob_digest: bool = True

    @property
    def digest(self) -> Digest:
        return self.descriptor.digest


class Image(NamedTuple):
    """An image of one platform. `digest` is that of its manifest, None if it has no manifest."""

    name: str
    digest: Digest | None
    config_digest: Digest
    config: dict[str, Any]
    annotations: tuple[tuple[str, str], ...]
    layers: tuple[ImageLayer, ...]
    content: ImageContent

    @property
    def platform(self) -> str:
        """`os/architecture[/variant]`, as far as the configuration says it."""
        parts = (self.config.get(key) for key in ("os", "architecture", "variant"))
        return "/".join(part for part in parts if isinstance(part, str) and part)


def load_image(
    name: str,
    target: Descriptor,
    content: ImageContent,
    platform: Platform | None,
    cancel: Cancellation,
) -> Image:
    """Read the documents of an image, of an index those of the image for a platform.

    Args:
        platform: None for that of this machine, or for the only one that the index has.

    Raises NotFound (no image for the platform), Unsupported (not a container image), Corrupt,
    Cancelled, and errors of reading.
    """
    document = parse_manifest(content.document(target, cancel), target.media_type)
    if isinstance(document, Index):
        target = _chosen(name, document, platform)
        document = parse_manifest(content.document(target, cancel), target.media_type)
        if isinstance(document, Index):
            raise Corrupt(f"{name}: nested indexes are not supported")
    config = read_document(content.chunks(document.config, cancel), document.config, cancel)
    image = image_of(name, target.digest, document, config, content)
    if platform is not None:
        check_platform(image, platform)
    return image


def image_of(
    name: str,
    digest: Digest | None,
    manifest: Manifest,
    data: bytes,
    content: ImageContent,
) -> Image:
    """An image of documents that have been read. `digest` is None if the manifest was made up for
    an archive that has none. Raises Corrupt, Unsupported."""
    config = load_json_object(data, f"configuration of {name}")
    for layer in manifest.layers:
        if not layer.media_type.endswith((".tar", "tar+gzip", "tar.gzip", "tar+zstd", "tar.zstd")):
            raise Unsupported(
                f"{name}: the media type {layer.media_type} is not that of a file system layer",
                hint="only container images can be compared",
            )
    if len(manifest.layers) > _MAX_LAYERS:
        raise Corrupt(f"{name} has {len(manifest.layers)} layers")
    diff_ids: tuple[Digest | None, ...] = diff_ids_of(config, f"configuration of {name}")
    if not diff_ids:
        diff_ids = (None,) * len(manifest.layers)
    if len(diff_ids) != len(manifest.layers):
        raise Corrupt(
            f"{name} has {len(manifest.layers)} layers, but its configuration lists {len(diff_ids)}"
        )
    steps = _steps(config, len(manifest.layers))
    layers = tuple(
        ImageLayer(number, descriptor, diff_id, step, digest is not None)
        for number, (descriptor, diff_id, step) in enumerate(
            zip(manifest.layers, diff_ids, steps, strict=True), 1
        )
    )
    return Image(name, digest, digest_of(data), config, manifest.annotations, layers, content)


def history_of(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The history of an image, none if it is malformed."""
    try:
        return [members(entry) for entry in items(config.get("history"))]
    except ValueError:
        return []


def _steps(config: dict[str, Any], count: int) -> list[str]:
    """The step of each layer, if the history matches the number of layers."""
    made = [entry for entry in history_of(config) if entry.get("empty_layer") is not True]
    if len(made) != count:
        return [""] * count
    texts = (entry.get("created_by") for entry in made)
    return [created_by if isinstance(created_by, str) else "" for created_by in texts]


def _chosen(name: str, index: Index, platform: Platform | None) -> Descriptor:
    images = [e for e in index.manifests if e.platform is None or e.platform.os != "unknown"]
    chosen = select_platform(index, platform or host_platform())
    if chosen is None and platform is None and len(images) == 1:
        chosen = images[0]
    if chosen is None:
        offered = ", ".join(sorted({str(e.platform) for e in images if e.platform is not None}))
        raise NotFound(
            f"{name} has no image for {platform or host_platform()}",
            hint=f"use --platform; it has: {offered}" if offered else "",
        )
    return chosen


def check_platform(image: Image, wanted: Platform) -> None:
    """Raise NotFound if an image is for another platform, Corrupt."""
    try:
        config = image.config
        system, architecture = text(config.get("os")), text(config.get("architecture"))
        found = Platform(system, architecture, text(config.get("variant")))
    except ValueError as error:
        raise Corrupt(f"{image.name}: malformed configuration: {error}") from error
    if found.os and found.architecture and not wanted.accepts(found):
        raise NotFound(f"{image.name} is an image for {found}, not for {wanted}")
