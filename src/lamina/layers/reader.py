"""Reads tar streams: ustar, pax, GNU long names, and old numbers."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from lamina.base.digest import Digest
from lamina.base.errors import Corrupt
from lamina.layers.entry import Entry
from lamina.layers.sparse import Extents, check_extents, old_gnu_map, pax_map, read_map
from lamina.layers.writer import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = {
    b"0": stat.S_IFREG,
    b"\0": stat.S_IFREG,
    b"7": stat.S_IFREG,
    b"S": stat.S_IFREG,
    b"1": stat.S_IFREG,
    b"2": stat.S_IFLNK,
    b"3": stat.S_IFCHR,
    b"4": stat.S_IFBLK,
    b"5": stat.S_IFDIR,
    b"6": stat.S_IFIFO,
}
_MAX_EXTENSION = 1 << 24
_CHUNK = 1 << 18
_XATTR = b"SCHILY.xattr."
_MAX_ID = (1 << 32) - 2
_MAX_SIZE = (1 << 63) - 1
_MAX_SECONDS = 1 << 40
_MAX_DEVICE = 1 << 31
_ZEROS = bytes(_CHUNK)


class ByteReader(Protocol):
    def read(self, size: int, /) -> bytes: ...


class TarReader:
    """Iterates over the entries of a stream. Content that is not read before the next is skipped.

    Raises Corrupt if the archive is malformed or incomplete.
    """

    def __init__(self, stream: ByteReader) -> None:
        self._stream = stream
        self._left = 0
        self._padding = 0
        self._size = 0
        self._extents: Extents | None = None

    def __iter__(self) -> Iterator[Entry]:
        pax: dict[bytes, bytes] = {}
        shared: dict[bytes, bytes] = {}
        long_name = long_link = b""
        while True:
            self._skip()
            block = self._exactly(BLOCK, at_end=True)
            if not block:
                return  # some writers omit the end marker
            if block.count(0) == BLOCK:
                self._drain()
                return
            _check(block)
            size = _number(block[124:136])
            kind = block[156:157]
            if kind not in b"xgLK":
                yield self._entry(block, size, kind, {**shared, **pax}, long_name, long_link)
                pax = {}
                long_name = long_link = b""
                continue
            if not 0 <= size <= _MAX_EXTENSION:
                raise Corrupt("malformed tar: oversized extension header")
            body = self._exactly(size)
            self._exactly(-size % BLOCK)
            if kind == b"x":
                pax = _records(body)
            elif kind == b"g":
                shared.update(_records(body))
            elif kind == b"L":
                long_name = body.split(b"\0", 1)[0]
            else:
                long_link = body.split(b"\0", 1)[0]

    @property
    def stored_size(self) -> int:
        """The number of stored bytes (without holes) of the current entry that are not read yet."""
        return self._left

    def extents(self) -> Iterator[tuple[int, bytes]]:
        """The stored parts of the current entry's content as (offset, bytes), in ascending order.

        The rest, up to the entry's size, is zeros.
        """
        if self._extents is None:
            at = self._size - self._left
            for chunk in self._stored(self._left):
                yield at, chunk
                at += len(chunk)
            return
        for at, length in self._extents:
            for chunk in self._stored(length):
                yield at, chunk
                at += len(chunk)
        self._extents = []

    @property
    def holes(self) -> int:
        """The number of bytes of the current entry that are not stored, as they are zeros."""
        if self._extents is None:
            return 0
        return self._size - sum(length for _, length in self._extents)

    def content(self) -> Iterator[bytes]:
        """The bytes of the current entry, in chunks, with holes as zeros."""
        at = 0
        for offset, chunk in self.extents():
            while at < offset:
                zeros = _ZEROS[: offset - at]
                yield zeros
                at += len(zeros)
            yield chunk
            at += len(chunk)
        while at < self._size:
            zeros = _ZEROS[: self._size - at]
            yield zeros
            at += len(zeros)

    def _stored(self, length: int) -> Iterator[bytes]:
        while length:
            chunk = self._stream.read(min(length, _CHUNK))
            if not chunk:
                raise Corrupt("truncated tar: the content of an entry ends early")
            length -= len(chunk)
            self._left -= len(chunk)
            yield chunk

    def _entry(
        self,
        block: bytes,
        size: int,
        kind: bytes,
        pax: dict[bytes, bytes],
        long_name: bytes,
        long_link: bytes,
    ) -> Entry:
        file_kind = _KINDS.get(kind)
        if file_kind is None:
            raise Corrupt(f"malformed tar: unknown entry type {kind!r}")
        name = pax.get(b"GNU.sparse.name") or pax.get(b"path") or long_name
        if not name:
            name = block[:100].split(b"\0", 1)[0]
            if block[257:263] == b"ustar\0":
                prefix = block[345:500].split(b"\0", 1)[0]
                if prefix:
                    name = prefix + b"/" + name
        link = pax.get(b"linkpath") or long_link or block[157:257].split(b"\0", 1)[0]
        if b"\0" in name or b"\0" in link:
            raise Corrupt("malformed tar: a name with a zero byte")
        uid = _pax_number(pax, b"uid", block[108:116])
        gid = _pax_number(pax, b"gid", block[116:124])
        if pax.get(b"size"):
            size = _decimal(pax[b"size"])
        mtime = pax.get(b"mtime")
        mtime_ns = _pax_time(mtime) if mtime else _number(block[136:148]) * 1_000_000_000
        is_device = kind in (b"3", b"4")
        major = _number(block[329:337]) if is_device else 0
        minor = _number(block[337:345]) if is_device else 0
        if not (
            0 <= uid <= _MAX_ID
            and 0 <= gid <= _MAX_ID
            and 0 <= size <= _MAX_SIZE
            and abs(mtime_ns) <= _MAX_SECONDS * 1_000_000_000
            and 0 <= major < _MAX_DEVICE
            and 0 <= minor < _MAX_DEVICE
        ):
            raise Corrupt(f"malformed tar: a number out of range in the header of {name!r}")
        if file_kind == stat.S_IFREG and name.endswith(b"/") and kind in (b"0", b"\0"):
            file_kind = stat.S_IFDIR
        has_content = file_kind == stat.S_IFREG and kind != b"1"
        self._left = self._size = size if has_content else 0
        self._padding = -self._left % BLOCK
        self._extents = None
        if kind == b"S":
            self._extents, self._size = old_gnu_map(block, self._exactly, _number)
        elif has_content and pax:
            self._pax_sparse(pax)
        if self._extents is not None:
            check_extents(self._extents, self._left, self._size)
        return Entry(
            path=os.fsdecode(name),
            mode=file_kind | _number(block[100:108]) & 0o7777,
            uid=uid,
            gid=gid,
            mtime_ns=mtime_ns,
            size=self._size,
            link=os.fsdecode(link) if kind == b"2" else "",
            hard_link=os.fsdecode(link) if kind == b"1" else "",
            rdev_major=major,
            rdev_minor=minor,
            xattrs=_xattrs(pax) if pax else (),
        )

    def _pax_sparse(self, pax: dict[bytes, bytes]) -> None:
        real = pax.get(b"GNU.sparse.realsize") or pax.get(b"GNU.sparse.size")
        if not real:
            return
        self._size = _decimal(real)
        if pax.get(b"GNU.sparse.major") == b"1":
            self._extents, length = read_map(self._exactly, self._left)
            self._left -= length
        else:
            self._extents = pax_map(pax.get(b"GNU.sparse.map", b""))

    def _skip(self) -> None:
        for _ in self._stored(self._left):
            pass
        if self._padding:
            self._exactly(self._padding)
            self._padding = 0

    def _drain(self) -> None:
        """Read what follows the end marker, so that the digest covers the whole stream."""
        while self._stream.read(_CHUNK):
            pass

    def _exactly(self, size: int, *, at_end: bool = False) -> bytes:
        data = self._stream.read(size) if size else b""
        while len(data) < size:
            more = self._stream.read(size - len(data))
            if not more:
                if at_end and not data:
                    return b""
                raise Corrupt("truncated tar: it ends in the middle of a header")
            data += more
        return data


def _check(block: bytes) -> None:
    try:
        expected = int(block[148:156].strip(b" \0") or b"0", 8)
    except ValueError:
        raise Corrupt("malformed tar: bad checksum field") from None
    total = sum(block) - sum(block[148:156]) + 256
    if total != expected:
        signed = sum(b - 256 if b > 127 else b for b in block[:148] + block[156:]) + 256
        if signed != expected:
            raise Corrupt("malformed tar: wrong header checksum (not a tar archive?)")


def _number(field: bytes) -> int:
    """An octal number, or GNU's base-256 for larger ones."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=False)
        bits = len(field) * 8
        if field[0] == 0xFF:
            return value - (1 << bits)
        return value & ((1 << (bits - 1)) - 1)
    text = field.strip(b" \0").split(b"\0", 1)[0].rstrip()
    try:
        # int() alone accepts signs and underscores.
        return int(text, 8) if text.isdigit() else _not_octal(text)
    except ValueError:
        return _not_octal(text)


def _not_octal(text: bytes) -> int:
    if text:
        raise Corrupt("malformed tar: bad number in a header")
    return 0


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise Corrupt("malformed tar: bad number in a pax record")
    return int(text)


def _pax_number(pax: dict[bytes, bytes], key: bytes, field: bytes) -> int:
    """The number of a pax record, else of the header. An empty record cancels a global one."""
    text = pax.get(key) if pax else None
    return _decimal(text) if text else _number(field)


def _xattrs(pax: dict[bytes, bytes]) -> tuple[tuple[str, bytes], ...]:
    found = []
    for key, value in pax.items():
        if key.startswith(_XATTR):
            if b"\0" in key or len(key) == len(_XATTR):
                raise Corrupt("malformed tar: bad name of an extended attribute")
            found.append((os.fsdecode(key[len(_XATTR) :]), value))
    return tuple(found)


def _records(body: bytes) -> dict[bytes, bytes]:
    records: dict[bytes, bytes] = {}
    pieces: list[bytes] = []
    at = 0
    while at < len(body):
        space = body.find(b" ", at, at + 9)
        digits = body[at:space] if space > at else b""
        if not digits.isdigit():
            raise Corrupt("malformed tar: bad pax record")
        end = at + int(digits)
        key, equals, value = body[space + 1 : end - 1].partition(b"=")
        if not equals or end > len(body) or body[end - 1 : end] != b"\n":
            raise Corrupt("malformed tar: bad pax record")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            pieces.append(value)  # the first sparse format repeats keys
        else:
            records[key] = value
        at = end
    if pieces:
        records[b"GNU.sparse.map"] = b",".join(pieces)
    return records


def _pax_time(text: bytes) -> int:
    """Seconds with any number of decimals, in nanoseconds."""
    digits = text[1:] if text[:1] == b"-" else text
    whole, _, fraction = digits.partition(b".")
    if not (whole + fraction).isdigit() or len(whole) > 20:
        raise Corrupt("malformed tar: bad time in a pax record")
    nanoseconds = int(whole or b"0") * 1_000_000_000 + int((fraction + b"000000000")[:9])
    return -nanoseconds if text[:1] == b"-" else nanoseconds


class HashingReader:
    """Passes a stream on and computes its SHA-256: the `diff_id` of a layer, for its tar."""

    def __init__(self, stream: ByteReader) -> None:
        self._stream = stream
        self._hash = sha256()

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._hash.update(data)
        return data

    def drain(self) -> None:
        """Read the rest: the padding after the end of the archive."""
        while self.read(_CHUNK):
            pass

    def digest(self) -> Digest:
        """The digest of all that was read."""
        return Digest(f"sha256:{self._hash.hexdigest()}")
