"""A context in a tar archive on standard input."""

from __future__ import annotations

from typing import IO

from lamina.base.errors import Corrupt, from_os_error

BLOCK = 512
_CHUNK = 1 << 16
_BZIP2, _XZ = b"BZh", b"\xfd7zXZ\x00"
_COMPRESSED = (b"\x1f\x8b\x08", _BZIP2, _XZ, b"\x28\xb5\x2f\xfd")


def is_archive(head: bytes) -> bool:
    """Whether a stream that begins with these bytes (up to `BLOCK`) is a tar archive.

    Compressed data is assumed to be one.
    """
    if head.startswith(_COMPRESSED) or head[257:262] == b"ustar":
        return True
    if len(head) < BLOCK:
        return False
    try:  # archives older than ustar: the header's checksum
        wanted = int(head[148:156].strip(b" \0"), 8)
    except ValueError:
        return False
    return sum(head[:148]) + 8 * 32 + sum(head[156:BLOCK]) == wanted


def unpack(head: bytes, rest: IO[bytes], folder: str) -> None:
    """Unpack an archive, which begins with `head`, into an empty directory.

    It may be compressed with gzip, bzip2, xz or zstd. Nothing is written outside of the directory.
    Raises Corrupt, Exhausted.
    """
    from lamina.layers.apply import Whiteouts, apply_layer
    from lamina.layers.decompression import decompressed
    from lamina.system.cancel import Cancellation

    stream = decompressed(_Joined(head, rest))
    try:
        apply_layer(stream, folder, Whiteouts.REMOVE, Cancellation(), subject="archive")
    except Corrupt as error:
        raise Corrupt(f"the archive on standard input is damaged: {error.reason}") from error
    except OSError as error:
        raise from_os_error(error, "unpack standard input") from error


class _Joined:
    """A stream whose first bytes have already been read."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int, /) -> bytes:
        if not self._head:
            return self._rest.read(size)
        data, self._head = self._head[:size], self._head[size:]
        return data
