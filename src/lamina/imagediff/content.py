"""Reads the content of one file of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import NotFound
from lamina.imagediff.blob import ChunkReader
from lamina.layers.decompression import decompressed
from lamina.layers.folders import clean_path
from lamina.layers.reader import TarReader

if TYPE_CHECKING:
    from lamina.imagediff.image import Image, ImageLayer
    from lamina.system.cancel import Cancellation


def read_content(image: Image, layer: ImageLayer, path: str, cancel: Cancellation) -> bytes:
    """The content of a regular file, in memory: that of the last entry with this path.

    Raises NotFound, and the errors of `read_layer`.
    """
    blob = ChunkReader(
        image.content.chunks(layer.descriptor, cancel),
        layer.digest if layer.has_blob_digest else None,
        layer.descriptor.size,
        cancel,
    )
    found: bytes | None = None
    reader = TarReader(decompressed(blob))
    for entry in reader:
        if clean_path(entry.path) == path and not entry.hard_link:
            found = b"".join(reader.content())
    if found is None:
        raise NotFound(f"{image.name}: layer {layer.number} has no file /{path}")
    return found
