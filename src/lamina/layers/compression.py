"""Compresses layers: gzip (ISA-L), zstd, or none. See `decompression` for the other way."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from lamina.base import oci
from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple


class Algorithm(Enum):
    GZIP = "gzip"
    ZSTD = "zstd"
    NONE = "uncompressed"


class Compression(NamedTuple):
    """How to compress a layer. `level` -1 is the default, a fast one.

    gzip 0-9 maps to ISA-L's 0-3; zstd takes 1-22.
    """

    algorithm: Algorithm = Algorithm.GZIP
    level: int = -1

    @property
    def recipe(self) -> str:
        """Identifies the bytes that this makes of an input; recorded with a layer."""
        return f"{self.algorithm.value}:{self.effective_level}"

    @property
    def effective_level(self) -> int:
        if self.algorithm is Algorithm.NONE:
            return 0
        if self.algorithm is Algorithm.ZSTD:
            return 3 if self.level < 0 else self.level
        return 1 if self.level < 0 else min(3, (self.level + 2) // 3)

    def media_type(self, *, docker: bool = False) -> str:
        if docker:
            return {
                Algorithm.GZIP: oci.DOCKER_LAYER_GZIP,
                Algorithm.ZSTD: oci.DOCKER_LAYER_ZSTD,
                Algorithm.NONE: oci.DOCKER_LAYER,
            }[self.algorithm]
        return {
            Algorithm.GZIP: oci.OCI_LAYER_GZIP,
            Algorithm.ZSTD: oci.OCI_LAYER_ZSTD,
            Algorithm.NONE: oci.OCI_LAYER,
        }[self.algorithm]


def parse_compression(name: str, level: str = "") -> Compression:
    """Read `compression=` and `compression-level=`. Raises InvalidInput."""
    try:
        algorithm = Algorithm(name or "gzip")
    except ValueError:
        raise InvalidInput(
            f'unknown compression "{name}"', hint="use gzip, zstd or uncompressed"
        ) from None
    if not level:
        return Compression(algorithm)
    highest = 22 if algorithm is Algorithm.ZSTD else 9
    if not level.isdecimal() or int(level) > highest:
        raise InvalidInput(f'compression level "{level}": {name} takes 0 to {highest}')
    return Compression(algorithm, int(level))


class Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


class _Gzip:
    """A gzip member with a fixed header (no name, no time), for reproducible bytes (RFC 1952)."""

    def __init__(self, level: int) -> None:
        from isal import isal_zlib

        self._zlib = isal_zlib
        self._deflate = isal_zlib.compressobj(level, isal_zlib.DEFLATED, -15)
        self._head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
        self._crc = 0
        self._size = 0

    def compress(self, data: bytes, /) -> bytes:
        self._crc = self._zlib.crc32(data, self._crc)
        self._size += len(data)
        head, self._head = self._head, b""
        packed: bytes = head + self._deflate.compress(data)
        return packed

    def flush(self) -> bytes:
        tail = self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little")
        packed: bytes = self._head + self._deflate.flush() + tail
        return packed


def make_compressor(compression: Compression) -> Compressor:
    level = compression.effective_level
    if compression.algorithm is Algorithm.NONE:
        return _Plain()
    if compression.algorithm is Algorithm.GZIP:
        return _Gzip(level)
    import zstandard

    return zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj()
