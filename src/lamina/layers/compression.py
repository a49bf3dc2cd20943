"""Compressing and decompressing layers: gzip by ISA-L, zstd, or not at all."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lamina.base import oci
from lamina.base.errors import Corrupt, InvalidInput, Unsupported

if TYPE_CHECKING:
    from lamina.layers.reader import ByteReader


class Algorithm(Enum):
    GZIP = "gzip"
    ZSTD = "zstd"
    NONE = "uncompressed"


class Compression(NamedTuple):
    """What to do to a layer. `level` -1 is the default: the fast one.

    gzip 0-9 maps to ISA-L's 0-3; zstd takes 1-22.
    """

    algorithm: Algorithm = Algorithm.GZIP
    level: int = -1

    @property
    def recipe(self) -> str:
        """Names the bytes this makes of given input; kept beside a layer that was made so."""
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
    """A gzip member with a fixed header (no name, no time), so that bytes repeat (RFC 1952)."""

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


def decompressed(stream: ByteReader) -> ByteReader:
    """A reader of the plain bytes, whatever of the three the stream is, told by its first bytes.

    Raises Corrupt while reading when the compressed data is damaged or ends early.
    """
    head = b""
    while len(head) < 4:
        more = stream.read(4 - len(head))
        if not more:
            break
        head += more
    if head[:2] == b"\x1f\x8b":
        return _GzipReader(head, stream)
    if head == b"\x28\xb5\x2f\xfd" or (head[1:] == b"\x2a\x4d\x18" and head[0] >> 4 == 5):
        return _ZstdReader(head, stream)
    if head[:3] == b"BZh" or head[:4] == b"\xfd7zX":
        raise Unsupported("a layer compressed with bzip2 or xz")
    return _Rest(head, stream)


_INPUT = 1 << 18
_AHEAD = 16


class ReadAhead:
    """Reads a stream in a thread of its own, up to 4 MiB ahead of whoever reads this.

    So inflating, which releases the interpreter, overlaps with what is done with the bytes. The
    thread ends with the `with` block.
    """

    def __init__(self, stream: ByteReader) -> None:
        import queue
        import threading

        self._stream = stream
        self._chunks: queue.Queue[bytes | BaseException] = queue.Queue(_AHEAD)
        self._buffer = b""
        self._at = 0
        self._ended = False
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="inflate", daemon=True)

    def __enter__(self) -> ReadAhead:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped = True
        while not self._ended:
            self._next()
        self._thread.join()

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, fewer only at a chunk's end; nothing at the end."""
        if self._at >= len(self._buffer):
            if self._ended:
                return b""
            chunk = self._next()
            if isinstance(chunk, BaseException):
                raise chunk
            self._buffer, self._at = chunk, 0
        data = self._buffer[self._at : self._at + size]
        self._at += size
        return data

    def _next(self) -> bytes | BaseException:
        chunk = self._chunks.get()
        if not chunk or isinstance(chunk, BaseException):
            self._ended = True
        return chunk

    def _work(self) -> None:
        try:
            while not self._stopped:
                chunk = self._stream.read(_INPUT)
                self._chunks.put(chunk)
                if not chunk:
                    return
            self._chunks.put(b"")
        except BaseException as error:
            self._chunks.put(error)


def _zlib_error() -> type[Exception]:
    from isal import isal_zlib

    kind: Any = isal_zlib.error  # its stub calls the class an instance
    error: type[Exception] = kind
    return error


class _Rest:
    def __init__(self, head: bytes, stream: ByteReader) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._stream.read(size)


class _Inflating:
    """Hands out decompressed bytes in the sizes asked for."""

    def __init__(self, head: bytes, stream: ByteReader) -> None:
        self._stream = _Rest(head, stream)
        self._buffer = b""
        self._at = 0

    def _more(self) -> bytes:
        raise NotImplementedError  # each format's own

    def read(self, size: int, /) -> bytes:
        available = len(self._buffer) - self._at
        if available >= size:
            data = self._buffer[self._at : self._at + size]
            self._at += size
            return data
        parts = [self._buffer[self._at :]]
        self._buffer, self._at = b"", 0
        while available < size:
            more = self._more()
            if not more:
                break
            parts.append(more)
            available += len(more)
        data = b"".join(parts)
        if len(data) > size:
            self._buffer, self._at = data, size
            return data[:size]
        return data


class _GzipReader(_Inflating):
    """gzip members one after another."""

    def __init__(self, head: bytes, stream: ByteReader) -> None:
        super().__init__(head, stream)
        from isal import isal_zlib

        self._zlib = isal_zlib
        self._inflate = isal_zlib.decompressobj(31)
        self._pending = b""

    def _more(self) -> bytes:
        while True:
            data = self._pending or self._stream.read(_INPUT)
            self._pending = b""
            if not data:
                if not self._inflate.eof:
                    raise Corrupt("truncated layer: the gzip stream ends early")
                return b""
            if self._inflate.eof:
                if not data.strip(b"\0"):
                    continue  # zero padding after the last member is harmless
                self._inflate = self._zlib.decompressobj(31)
            try:
                plain: bytes = self._inflate.decompress(data)
            except _zlib_error() as error:
                raise Corrupt(f"damaged gzip stream: {error}") from error
            self._pending = self._inflate.unused_data
            if plain:
                return plain


class _ZstdReader(_Inflating):
    """zstd frames one after another."""

    def __init__(self, head: bytes, stream: ByteReader) -> None:
        super().__init__(head, stream)
        import zstandard

        self._zstd = zstandard
        self._inflate = zstandard.ZstdDecompressor().decompressobj()
        self._pending = b""

    def _more(self) -> bytes:
        while True:
            data = self._pending or self._stream.read(_INPUT)
            self._pending = b""
            if not data:
                if not self._inflate.eof:
                    raise Corrupt("truncated layer: the zstd stream ends early")
                return b""
            if self._inflate.eof:
                self._inflate = self._zstd.ZstdDecompressor().decompressobj()
            try:
                plain = self._inflate.decompress(data)
            except self._zstd.ZstdError as error:
                raise Corrupt(f"damaged zstd stream: {error}") from error
            self._pending = self._inflate.unused_data
            if plain:
                return plain
