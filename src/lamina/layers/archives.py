"""Recognises and opens tar archives: plain, or in one of five compressions."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.layers.decompression import decompressed
from lamina.layers.reader import TarReader
from lamina.system.regular import open_regular

if TYPE_CHECKING:
    from typing import BinaryIO

    from lamina.layers.reader import ByteReader


def plain(file: BinaryIO) -> ByteReader:
    """The decompressed bytes of a file from its start. See `decompressed`."""
    file.seek(0, os.SEEK_SET)
    return decompressed(file)


def is_tar(path: str) -> bool:
    """Whether a file is a tar archive that is not empty."""
    try:
        with open(open_regular(path), "rb") as file:
            for _ in TarReader(plain(file)):
                return True
    except (LaminaError, OSError):
        return False
    return False


def newest_time(file: BinaryIO) -> int | None:
    """The latest modification time of an archive's regular files, in nanoseconds since 1970.

    None if there is none, or if the archive is incomplete.
    """
    newest: int | None = None
    try:
        for entry in TarReader(plain(file)):
            if entry.kind == stat.S_IFREG and not entry.hard_link:
                newest = entry.mtime_ns if newest is None else max(newest, entry.mtime_ns)
    except (LaminaError, OSError):
        return None
    return newest
