"""`lamina save` and `lamina load`: images of the local store in tar archives."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from lamina.base.digest import Digest
from lamina.base.errors import Corrupt, NotFound
from lamina.base.gojson import encode
from lamina.base.json_document import load_json_object
from lamina.base.oci import (
    ANNOTATION_IMAGE_NAME,
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYER_ZSTD,
    DOCKER_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    parse_manifest,
)
from lamina.base.reference import parse_reference
from lamina.exporters.archive import write_archives
from lamina.exporters.contract import Artifact, Document, ExportedImage
from lamina.imagediff.archive import Archive, LayoutArchiveContent, docker_images, layout_images
from lamina.stores.images import NAMELESS, ImageTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lamina.client.image_content import Fetch
    from lamina.exporters.file_sink import ByteSink
    from lamina.imagediff.archive import DockerImage
    from lamina.stores.blobs import BlobStore, BlobWriter
    from lamina.stores.images import StoredImage
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation

_UNKNOWN = "unknown"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


def save_images(
    store: Store,
    fetch: Fetch,
    images: Sequence[tuple[StoredImage, Sequence[str]]],
    sink: ByteSink,
    cancel: Cancellation,
) -> None:
    """Write images, each under its names, to one archive that Docker and OCI tools read.

    Args:
        fetch: fetches layers that are not in the store from their origins.

    Raises NotFound, Corrupt, Cancelled, and the errors of the sink.
    """
    with store.shared():
        artifacts = [_artifact(store.blobs, image.target, names) for image, names in images]
        layers = [layer for artifact in artifacts for layer in artifact.layers()]
        fetch([layer for layer in layers if not store.blobs.has(layer.digest)], cancel)
        write_archives(artifacts, store.blobs, sink, cancel, docker=True)


def _artifact(blobs: BlobStore, target: Descriptor, names: Sequence[str]) -> Artifact:
    """What an image consists of. Of an index, what the store has."""
    documents: list[Document] = []
    images: list[ExportedImage] = []

    def add(descriptor: Descriptor) -> None:
        data = blobs.read(descriptor.digest)
        document = parse_manifest(data, descriptor.media_type)
        if isinstance(document, Index):
            for entry in document.manifests:
                if blobs.has(entry.digest):
                    add(entry)
        elif descriptor.platform is not None and descriptor.platform.os == _UNKNOWN:
            parts = (document.config, *document.layers)  # an attestation's statements
            documents.extend(Document(part, blobs.read(part.digest)) for part in parts)
        else:
            images.append(_exported(blobs, descriptor, data, document))
            config = images[-1].config
            documents.append(Document(document.config, config))
        documents.append(Document(descriptor, data))

    add(target)
    if not images:
        raise NotFound("the index has no image in the local store")
    return Artifact(target, tuple(documents), tuple(images), tuple(names))


def _exported(
    blobs: BlobStore, descriptor: Descriptor, data: bytes, manifest: Manifest
) -> ExportedImage:
    config = blobs.read(manifest.config.digest)
    created = str(load_json_object(config, "image configuration").get("created") or "")
    return ExportedImage(descriptor, data, manifest.config, config, manifest.layers, created)


def load_images(store: Store, path: str, cancel: Cancellation) -> list[str]:
    """Store the images of an archive. Returns their names; `sha256:…` for one without a name.

    Raises NotFound, PermissionDenied, Corrupt, Unsupported, Exhausted, Cancelled.
    """
    archive = Archive(path, cancel)
    table = ImageTable(store.database)
    loaded: list[str] = []
    with store.shared():
        if archive.is_layout:
            content = LayoutArchiveContent(archive)
            for names, entry in layout_images(archive, cancel):
                target = _take(store.blobs, content, entry, cancel)
                full = dict(entry.annotations).get(ANNOTATION_IMAGE_NAME, "")
                loaded += _named(table, target, [full] if full else names)
        elif "manifest.json" in archive:
            for names, read in docker_images(archive, cancel):
                target = _take_docker(store.blobs, archive, read(), cancel)
                loaded += _named(table, target, names)
        else:
            raise Corrupt(
                f"{path} contains no image",
                hint="a Docker archive or an OCI layout in a tar archive is expected",
            )
    return loaded


def _take(
    blobs: BlobStore, content: LayoutArchiveContent, descriptor: Descriptor, cancel: Cancellation
) -> Descriptor:
    """Store a manifest or index with its parts. Of an index, what the archive has."""
    data = content.document(descriptor, cancel)
    document = parse_manifest(data, descriptor.media_type)
    if isinstance(document, Index):
        for entry in document.manifests:
            if content.has(entry.digest):
                _take(blobs, content, entry, cancel)
    else:
        for part in (document.config, *document.layers):

            def bring(writer: BlobWriter, part: Descriptor = part) -> None:
                if writer.offset < part.size:
                    _receive(writer.write, content.chunks(part, cancel), writer.offset)

            blobs.receive(part, bring, cancel)
    blobs.put(data)
    return Descriptor(descriptor.media_type, descriptor.digest, len(data))


def _receive(write: Callable[[bytes], None], chunks: Iterable[bytes], offset: int) -> None:
    """Write what follows the first `offset` bytes."""
    for chunk in chunks:
        skipped = min(offset, len(chunk))
        offset -= skipped
        if skipped < len(chunk):
            write(chunk[skipped:])


def _take_docker(
    blobs: BlobStore, archive: Archive, image: DockerImage, cancel: Cancellation
) -> Descriptor:
    """Store an image of Docker's archive under a manifest that is made for it."""
    config = Descriptor(DOCKER_CONFIG, blobs.put(image.config), len(image.config))
    layers = []
    for path in image.paths:
        digest = hashlib.sha256()
        head, size = b"", 0
        with blobs.create() as draft:
            for chunk in archive.chunks(path, cancel):
                digest.update(chunk)
                draft.write(chunk)
                head = head or chunk[:4]
                size += len(chunk)
            made = Digest(f"sha256:{digest.hexdigest()}")
            draft.commit(made, size)
        layers.append(Descriptor(_layer_type(head), made, size))
    data = encode(Manifest(DOCKER_MANIFEST, config, tuple(layers)).to_json())
    return Descriptor(DOCKER_MANIFEST, blobs.put(data), len(data))


def _layer_type(head: bytes) -> str:
    if head.startswith(_GZIP):
        return DOCKER_LAYER_GZIP
    return DOCKER_LAYER_ZSTD if head == _ZSTD else DOCKER_LAYER


def _named(table: ImageTable, target: Descriptor, names: Iterable[str]) -> list[str]:
    """Name an image. A tag alone, as some OCI layouts have it, is no name."""
    given = [str(parse_reference(name)) for name in names if "/" in name or ":" in name]
    for name in given or [f"{NAMELESS}{target.digest}"]:
        table.put(name, target)
    return given or [str(target.digest)]
