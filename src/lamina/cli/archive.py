"""A context that arrives as a tar archive on standard input."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Protocol

from lamina.base.errors import Corrupt, from_os_error

if TYPE_CHECKING:
    from lamina.layers.reader import ByteReader

BLOCK = 512
_CHUNK = 1 << 16
_BZIP2, _XZ = b"BZh", b"\xfd7zXZ\x00"
_COMPRESSED = (b"\x1f\x8b\x08", _BZIP2, _XZ, b"\x28\xb5\x2f\xfd")


def is_archive(head: bytes) -> bool:
    """Whether a stream that begins with these bytes (up to `BLOCK`) is a tar archive.

    Anything that is compressed counts as one.
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
    """Unpack the archive that `head` and what follows make into an empty folder.

    Plain, or compressed with gzip, bzip2, xz or zstd. Nothing lands outside. Raises Corrupt,
    Exhausted.
    """
    from lamina.layers.apply import Whiteouts, apply_layer
    from lamina.layers.compression import decompressed
    from lamina.system.cancel import Cancellation

    stream: ByteReader = _Joined(head, rest)
    if head.startswith(_BZIP2):
        import bz2

        stream = _Expanded(stream, bz2.BZ2Decompressor())
    elif head.startswith(_XZ):
        import lzma

        stream = _Expanded(stream, lzma.LZMADecompressor())
    else:
        stream = decompressed(stream)
    try:
        apply_layer(stream, folder, Whiteouts.REMOVE, Cancellation())
    except Corrupt as error:
        raise Corrupt(f"the archive on standard input is damaged: {error.reason}") from error
    except OSError as error:
        raise from_os_error(error, "unpack standard input") from error


class _Joined:
    """A stream whose start was read already."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int, /) -> bytes:
        if not self._head:
            return self._rest.read(size)
        data, self._head = self._head[:size], self._head[size:]
        return data


class _Decompressor(Protocol):
    """What `bz2`'s and `lzma`'s have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Expanded:
    def __init__(self, stream: ByteReader, decompressor: _Decompressor) -> None:
        self._stream = stream
        self._decompressor = decompressor

    def read(self, size: int, /) -> bytes:
        while not self._decompressor.eof:
            more = self._stream.read(_CHUNK) if self._decompressor.needs_input else b""
            if not more and self._decompressor.needs_input:
                raise Corrupt("the compressed data ends early")
            try:
                data = self._decompressor.decompress(more, size)
            except Exception as error:  # OSError, ValueError, or lzma's own kind
                raise Corrupt(f"bad compressed data: {error}") from error
            if data:
                return data
        return b""
