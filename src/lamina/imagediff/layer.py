"""Reads a layer as a stream: its entries with the digests of their content."""

from __future__ import annotations

import stat
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt, LaminaError, Unsupported
from lamina.base.limits import UNPACKED, SizeLimit
from lamina.base.named_tuple import NamedTuple
from lamina.imagediff.blob import ChunkReader
from lamina.imagediff.files import WHITEOUT_FILE, File
from lamina.imagediff.packages import package_reader
from lamina.layers.decompression import ReadAhead, decompressed
from lamina.layers.entry import OPAQUE, WHITEOUT
from lamina.layers.folders import clean_path
from lamina.layers.reader import HashingReader, TarReader

if TYPE_CHECKING:
    from lamina.base.digest import Digest
    from lamina.imagediff.image import Image, ImageLayer
    from lamina.layers.entry import Entry
    from lamina.system.cancel import Cancellation

_PATH_MAX = 4095
_MOST_HOLES = 64 << 30
"""The largest size of the holes of a file: a tar of 2 kB can have a file of 2^62 bytes."""


class LayerFiles(NamedTuple):
    """The entries of a layer in their order: (path, file). Paths are relative and clean.

    A whiteout is `WHITEOUT_FILE` at its own path (`dir/.wh.name`). `size` is the number of bytes of
    all regular files.
    """

    entries: tuple[tuple[str, File], ...]
    diff_id: Digest
    size: int


def read_layer(image: Image, layer: ImageLayer, cancel: Cancellation) -> LayerFiles:
    """Read all of a layer. Nothing is written to disk, and no content is kept.

    Raises Corrupt if it is malformed or does not have its digests, Unsupported if a file has very
    large holes, Exhausted if it exceeds the
    limits of `lamina.base.limits`, Cancelled, and errors of reading the blob.
    """
    try:
        return _read(image, layer, cancel)
    except LaminaError as error:
        reason = f"{image.name}: layer {layer.number} ({layer.digest.short}): {error.reason}"
        raise error.with_context(reason=reason) from error


def _read(image: Image, layer: ImageLayer, cancel: Cancellation) -> LayerFiles:
    blob = ChunkReader(
        image.content.chunks(layer.descriptor, cancel),
        layer.digest if layer.has_blob_digest else None,
        layer.descriptor.size,
        cancel,
    )
    tar = HashingReader(decompressed(blob))
    entries: list[tuple[str, File]] = []
    total = 0
    limit = SizeLimit(UNPACKED, "the content of a layer's files")
    with ReadAhead(tar) as ahead:
        reader = TarReader(ahead)
        for entry in reader:
            cancel.check()
            path = clean_path(entry.path)
            name = path.rpartition("/")[2]
            if name.startswith(WHITEOUT):
                hidden = name[len(WHITEOUT) :]
                aufs = name.startswith(WHITEOUT + WHITEOUT) or hidden in ("", ".", "..")
                if name == OPAQUE or not aufs:
                    entries.append((path, WHITEOUT_FILE))
                continue
            file = _file(path, entry, reader, limit, cancel)
            total += file.size
            entries.append((path, file))
    tar.drain()
    blob.drain()
    diff_id = tar.digest()
    if layer.diff_id is not None and diff_id != layer.diff_id:
        raise Corrupt(
            f"its diff ID is {diff_id}, but the image has {layer.diff_id}",
            hint="the image is broken; build or push it again",
        )
    return LayerFiles(tuple(entries), diff_id, total)


def _file(
    path: str, entry: Entry, reader: TarReader, limit: SizeLimit, cancel: Cancellation
) -> File:
    if entry.hard_link:
        return File(entry.mode, hard_link=clean_path(entry.hard_link))
    kind = entry.kind
    if kind == stat.S_IFLNK and len(entry.link) > _PATH_MAX:
        raise Corrupt(f"malformed layer: {path}: the target of the link is too long")
    digest, packages, size = b"", None, 0
    if kind == stat.S_IFREG:
        size = entry.size
        hashed = sha256()
        if reader.holes > _MOST_HOLES:
            raise Unsupported(
                f"{path} is a sparse file of {size} bytes",
                hint=f"holes of more than {_MOST_HOLES} bytes are not read: it would take minutes",
            )
        reading = package_reader(path, size)
        for chunk in reader.content():
            cancel.check()
            limit.add(len(chunk))
            hashed.update(chunk)
            if reading is not None:
                reading.feed(chunk)
        digest = hashed.digest()
        packages = None if reading is None else reading.finish()
    return File(
        entry.mode,
        entry.uid,
        entry.gid,
        entry.mtime_ns,
        size,
        digest,
        entry.link,
        (entry.rdev_major, entry.rdev_minor),
        entry.xattrs,
        packages=packages,
    )
