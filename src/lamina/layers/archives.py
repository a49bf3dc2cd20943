"""Archives as people hand them over: a tar file, plain or compressed in one of five ways."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.layers.compression import decompressed
from lamina.layers.reader import TarReader

if TYPE_CHECKING:
    from typing import BinaryIO

    from lamina.layers.reader import ByteReader


def plain(file: BinaryIO) -> ByteReader:
    """The bytes of a file from its start, without its compression: gzip, bzip2, xz, zstd.

    What is wrong with them is raised while they are read: LaminaError, OSError, EOFError,
    ValueError.
    """
    file.seek(0, os.SEEK_SET)
    head = file.read(6)
    file.seek(0, os.SEEK_SET)
    if head[:3] == b"BZh":
        import bz2

        return bz2.BZ2File(file)
    if head == b"\xfd7zXZ\0":
        import lzma

        return lzma.LZMAFile(file)
    return decompressed(file)


def is_tar(path: str) -> bool:
    """Whether a file is an archive with something in it."""
    try:
        with open(path, "rb") as file:
            for _ in TarReader(plain(file)):
                return True
    except (LaminaError, OSError, EOFError, ValueError):
        return False
    return False


def newest_time(file: BinaryIO) -> int | None:
    """The latest time among an archive's regular files, in nanoseconds since 1970.

    None if there is none, or if it is not a whole archive.
    """
    newest: int | None = None
    try:
        for entry in TarReader(plain(file)):
            if entry.kind == stat.S_IFREG and not entry.hard_link:
                newest = entry.mtime_ns if newest is None else max(newest, entry.mtime_ns)
    except (LaminaError, OSError, EOFError, ValueError):
        return None
    return newest
