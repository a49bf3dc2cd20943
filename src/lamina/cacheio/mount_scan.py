"""Scans a cache mount, and computes the digests of its chunks."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple
from lamina.cacheio.chunker import SMALL, chunks
from lamina.cacheio.mount_index import MountEntry
from lamina.system.descent import walk_tree
from lamina.system.file_metadata import KERNEL_METADATA
from lamina.system.regular import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.cacheio.mount_index import MountIndex
    from lamina.system.cancel import Cancellation
    from lamina.system.file_metadata import FileMetadata

_PATH_MAX = 4095


class Scanned(NamedTuple):
    """An entry whose chunks have no location yet: their digests (hex) and sizes."""

    entry: MountEntry
    digests: tuple[tuple[str, int], ...]


def described(entry: MountEntry, index: MountIndex) -> Scanned:
    """An entry of an index, with its chunks by digest."""
    chunks = (index.chunks[number] for number in entry.chunks)
    return Scanned(entry._replace(chunks=()), tuple((c.digest, c.size) for c in chunks))


def scan(
    folder: str, cancel: Cancellation, metadata: FileMetadata = KERNEL_METADATA
) -> Iterator[Scanned]:
    """All entries of a mount, parents first, with digests of the contents.

    Paths that are too long are left out, and so are files that disappear meanwhile, as other steps
    may use a shared mount. Raises OSError.
    """
    yield Scanned(_entry("", metadata.status(folder, os.lstat(folder))), ())
    for visit in walk_tree(folder, max_depth=_PATH_MAX // 2):
        cancel.check()
        path = visit.path
        if len(os.fsencode(path)) > _PATH_MAX:
            continue
        status = metadata.status(f"/proc/self/fd/{visit.folder}/{visit.name}", visit.status)
        try:
            if visit.is_directory:
                yield Scanned(_entry(path, status), ())
            elif stat.S_ISLNK(status.st_mode):
                link = os.readlink(visit.name, dir_fd=visit.folder)
                yield Scanned(_entry(path, status, link), ())
            elif stat.S_ISREG(status.st_mode):
                parts = tuple(
                    (sha256(piece).hexdigest(), len(piece))
                    for piece in pieces(visit.name, dir_fd=visit.folder)
                )
                yield Scanned(_entry(path, status), parts)
        except FileNotFoundError:
            continue


def _entry(path: str, status: os.stat_result, link: str = "") -> MountEntry:
    return MountEntry(
        path, status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, (), link
    )


def pieces(path: str, *, dir_fd: int | None = None) -> Iterator[memoryview | bytes]:
    """A file's chunks. Raises FileNotFoundError also if it is not a regular file any more."""
    try:
        fd = open_regular(path, dir_fd=dir_fd)
    except InvalidInput:
        raise FileNotFoundError(path) from None
    with open(fd, "rb", buffering=0) as file:
        status = os.fstat(fd)
        if status.st_size <= SMALL:
            data = file.read(SMALL + 1)
            if data:
                yield data
            return
        # Read, not mapped: if a mapped file is truncated, the kernel kills the process.
        yield from chunks(file.readall())
