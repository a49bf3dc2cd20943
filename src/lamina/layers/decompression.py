"""Reads layers and archives: plain, or compressed with gzip, zstd, bzip2 or xz.

At most a few MiB of the inflated data are in memory at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from lamina.base.errors import Corrupt
from lamina.base.limits import UNPACKED, SizeLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.layers.reader import ByteReader

_INPUT = 1 << 18
_OUTPUT = 1 << 20
_XZ_MEMORY = 128 << 20  # `xz -9` needs half of it; a header may request 4 GiB
_AHEAD = 16


class ReadAhead:
    """Reads a stream in another thread, up to 4 MiB ahead of the reader.

    So inflating, which releases the GIL, runs in parallel with the reader's work. The thread ends
    with the `with` block.
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
        """At most `size` bytes; fewer at the end of a chunk; none at the end."""
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


def decompressed(stream: ByteReader) -> ByteReader:
    """A reader of the decompressed bytes. The compression is detected by the first bytes.

    Reading raises Corrupt if the data is damaged or incomplete, and Exhausted if it exceeds the
    limits of `lamina.base.limits`.
    """
    head = b""
    while len(head) < 6:
        more = stream.read(6 - len(head))
        if not more:
            break
        head += more
    whole = _Rest(head, stream)
    if head[:2] == b"\x1f\x8b":
        return _MemberReader(whole, "gzip", _gzip)
    if head[:4] == b"\x28\xb5\x2f\xfd" or (head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5):
        return _ZstdReader(whole)
    if head[:3] == b"BZh":
        return _MemberReader(whole, "bzip2", _bzip2)
    if head == b"\xfd7zXZ\0":
        return _MemberReader(whole, "xz", _xz)
    return whole


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
    """Returns decompressed bytes in the requested sizes."""

    def __init__(self, stream: ByteReader) -> None:
        self._stream = stream
        self._limit = SizeLimit(UNPACKED, "the content of a compressed layer or archive")
        self._buffer = b""
        self._at = 0

    def _more(self) -> bytes:
        raise NotImplementedError  # the exception of each format

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
            self._limit.add(len(more))
        data = b"".join(parts)
        if len(data) > size:
            self._buffer, self._at = data, size
            return data[:size]
        return data


class _Decompressor(Protocol):
    """The interface that Python's and ISA-L's decompressors share."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def _gzip() -> tuple[_Decompressor, tuple[type[Exception], ...]]:
    from isal import igzip_lib

    kind: Any = igzip_lib.error  # its stub calls the class an instance
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP), (kind,)


def _bzip2() -> tuple[_Decompressor, tuple[type[Exception], ...]]:
    import bz2

    return bz2.BZ2Decompressor(), (OSError, ValueError)


def _xz() -> tuple[_Decompressor, tuple[type[Exception], ...]]:
    import lzma

    made = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    return made, (lzma.LZMAError,)


class _MemberReader(_Inflating):
    """Reads consecutive compressed members, with zeros between and after them."""

    def __init__(
        self,
        stream: ByteReader,
        name: str,
        make: Callable[[], tuple[_Decompressor, tuple[type[Exception], ...]]],
    ) -> None:
        super().__init__(stream)
        self._name = name
        self._make = make
        self._inflate, self._errors = make()

    def _more(self) -> bytes:
        while True:
            data = b""
            if self._inflate.eof:
                data = self._next_member()
                if not data:
                    return b""
                self._inflate, _ = self._make()
            elif self._inflate.needs_input:
                data = self._stream.read(_INPUT)
                if not data:
                    raise Corrupt(f"the {self._name} stream ends early")
            try:
                plain = self._inflate.decompress(data, _OUTPUT)
            except self._errors as error:
                raise Corrupt(f"damaged {self._name} stream: {error}") from error
            if plain:
                return plain

    def _next_member(self) -> bytes:
        data = self._inflate.unused_data.lstrip(b"\0")
        while not data:
            data = self._stream.read(_INPUT)
            if not data:
                return b""
            data = data.lstrip(b"\0")
        return data


class _ZstdReader(_Inflating):
    """Reads consecutive zstd frames."""

    def __init__(self, stream: ByteReader) -> None:
        super().__init__(stream)
        import zstandard

        from lamina.layers.zstd_blocks import zstd_blocks

        self._zstd = zstandard
        self._blocks = zstd_blocks(self._stream)
        self._inflate = zstandard.ZstdDecompressor().decompressobj()

    def _more(self) -> bytes:
        for data in self._blocks:
            if self._inflate.eof:
                self._inflate = self._zstd.ZstdDecompressor().decompressobj()
            try:
                plain = self._inflate.decompress(data)
            except self._zstd.ZstdError as error:
                raise Corrupt(f"damaged zstd stream: {error}") from error
            if plain:
                return plain
        return b""
