"""Reads blobs as streams, and checks them."""

from __future__ import annotations

from hashlib import new
from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.base.digest import Digest
    from lamina.base.oci import Descriptor
    from lamina.system.cancel import Cancellation

_CHUNK = 1 << 18
_DOCUMENT_LIMIT = 16 << 20


class ChunkReader:
    """Reads chunks as a stream, and checks the size and digest of a blob at its end."""

    def __init__(
        self, chunks: Iterator[bytes], digest: Digest | None, size: int, cancel: Cancellation
    ) -> None:
        self._chunks = chunks
        self._digest = digest
        self._left = size
        self._hash = None if digest is None else new(digest.algorithm)
        self._cancel = cancel
        self._buffer = b""
        self._at = 0

    def read(self, size: int, /) -> bytes:
        """Read at most `size` bytes, none at the end. Raises Corrupt, Cancelled, and the errors of
        the chunks."""
        while self._at >= len(self._buffer):
            self._cancel.check()
            chunk = next(self._chunks, b"")
            if not chunk:
                self._check_end()
                return b""
            self._left -= len(chunk)
            if self._hash is not None:
                self._hash.update(chunk)
                if self._left < 0:
                    raise Corrupt(f"blob {self._digest} is larger than its descriptor says")
            self._buffer, self._at = chunk, 0
        data = self._buffer[self._at : self._at + size]
        self._at += len(data)
        return data

    def drain(self) -> None:
        """Read the rest."""
        while self.read(1 << 18):
            pass

    def _check_end(self) -> None:
        if self._hash is None or self._digest is None:
            return
        if self._left:
            raise Corrupt(f"blob {self._digest} is truncated: {self._left} bytes are missing")
        found = f"{self._digest.algorithm}:{self._hash.hexdigest()}"
        if found != self._digest:
            raise Corrupt(f"blob {self._digest} does not match its digest: the bytes have {found}")


def read_document(chunks: Iterator[bytes], descriptor: Descriptor, cancel: Cancellation) -> bytes:
    """Read a small blob and check it. Raises Corrupt, Cancelled, and the errors of the chunks."""
    if descriptor.size > _DOCUMENT_LIMIT:
        raise Corrupt(f"document {descriptor.digest} has more than {_DOCUMENT_LIMIT} bytes")
    reader = ChunkReader(chunks, descriptor.digest, descriptor.size, cancel)
    parts = []
    while chunk := reader.read(_CHUNK):
        parts.append(chunk)
    return b"".join(parts)
