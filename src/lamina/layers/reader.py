"""Reading tar streams: ustar, pax, GNU long names, and old-style numbers."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Protocol

from lamina.base.errors import Corrupt
from lamina.layers.entry import Entry
from lamina.layers.writer import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = {
    b"0": stat.S_IFREG,
    b"\0": stat.S_IFREG,
    b"7": stat.S_IFREG,
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


class ByteReader(Protocol):
    def read(self, size: int, /) -> bytes: ...


class TarReader:
    """Iterates over a stream's entries; read each one's content before going on, or it is skipped.

    Raises Corrupt on anything that is not a whole, well-formed archive.
    """

    def __init__(self, stream: ByteReader) -> None:
        self._stream = stream
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        pax: dict[bytes, bytes] = {}
        shared: dict[bytes, bytes] = {}
        long_name = long_link = b""
        while True:
            self._skip()
            block = self._exactly(BLOCK, at_end=True)
            if not block:
                return  # some writers leave the end marker out
            if block.count(0) == BLOCK:
                self._drain()
                return
            _check(block)
            size = _number(block[124:136])
            kind = block[156:157]
            if kind in b"xgLK" and kind:
                if size > _MAX_EXTENSION:
                    raise Corrupt("malformed tar: oversized extension header")
                body = self._exactly(size)
                self._exactly(-size % BLOCK)
                if kind == b"x":
                    pax = _records(body)
                elif kind == b"g":
                    shared.update(_records(body))
                elif kind == b"L":
                    long_name = body.rstrip(b"\0")
                else:
                    long_link = body.rstrip(b"\0")
                continue
            yield self._entry(block, size, kind, {**shared, **pax}, long_name, long_link)
            pax = {}
            long_name = long_link = b""

    def content(self) -> Iterator[bytes]:
        """The present entry's bytes, in chunks."""
        while self._left:
            chunk = self._stream.read(min(self._left, _CHUNK))
            if not chunk:
                raise Corrupt("truncated tar: the content of an entry ends early")
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
        name = pax.get(b"path") or long_name
        if not name:
            name = block[:100].split(b"\0", 1)[0]
            if block[257:263] == b"ustar\0":
                prefix = block[345:500].split(b"\0", 1)[0]
                if prefix:
                    name = prefix + b"/" + name
        link = pax.get(b"linkpath") or long_link or block[157:257].split(b"\0", 1)[0]
        try:
            if b"size" in pax:
                size = int(pax[b"size"])
            uid = int(pax[b"uid"]) if b"uid" in pax else _number(block[108:116])
            gid = int(pax[b"gid"]) if b"gid" in pax else _number(block[116:124])
            mtime_ns = (
                _pax_time(pax[b"mtime"])
                if b"mtime" in pax
                else _number(block[136:148]) * 1_000_000_000
            )
        except ValueError as error:
            raise Corrupt(f"malformed tar: {error}") from error
        has_content = kind in (b"0", b"\0", b"7")
        if kind == b"0" and name.endswith(b"/"):
            file_kind, has_content = stat.S_IFDIR, False
        self._left = size if has_content else 0
        self._padding = -size % BLOCK if has_content else 0
        if size < 0:
            raise Corrupt("malformed tar: negative size")
        is_device = kind in (b"3", b"4")
        return Entry(
            path=os.fsdecode(name),
            mode=file_kind | _number(block[100:108]) & 0o7777,
            uid=uid,
            gid=gid,
            mtime_ns=mtime_ns,
            size=self._left,
            link=os.fsdecode(link) if kind == b"2" else "",
            hard_link=os.fsdecode(link) if kind == b"1" else "",
            rdev_major=_number(block[329:337]) if is_device else 0,
            rdev_minor=_number(block[337:345]) if is_device else 0,
            xattrs=tuple(
                (key[len(_XATTR) :].decode("utf-8", "surrogateescape"), value)
                for key, value in pax.items()
                if key.startswith(_XATTR)
            ),
        )

    def _skip(self) -> None:
        for _ in self.content():
            pass
        if self._padding:
            self._exactly(self._padding)
            self._padding = 0

    def _drain(self) -> None:
        """Read what follows the end marker, so that the stream's digest covers all of it."""
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
    """An octal number, or GNU's base-256 for what octal digits cannot hold."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=False)
        bits = len(field) * 8
        if field[0] == 0xFF:
            return value - (1 << bits)
        return value & ((1 << (bits - 1)) - 1)
    text = field.strip(b" \0").split(b"\0", 1)[0]
    try:
        return int(text, 8) if text else 0
    except ValueError:
        raise Corrupt("malformed tar: bad number in a header") from None


def _records(body: bytes) -> dict[bytes, bytes]:
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(body):
        space = body.find(b" ", at)
        digits = body[at:space] if space > at else b""
        if not digits.isdigit() or len(digits) > 8:
            raise Corrupt("malformed tar: bad pax record")
        end = at + int(digits)
        key, equals, value = body[space + 1 : end - 1].partition(b"=")
        if not equals or end > len(body) or body[end - 1 : end] != b"\n":
            raise Corrupt("malformed tar: bad pax record")
        records[key] = value
        at = end
    return records


def _pax_time(text: bytes) -> int:
    whole, _, fraction = text.decode("ascii", "replace").partition(".")
    nanoseconds = int((fraction + "000000000")[:9]) if fraction else 0
    seconds = int(whole or "0")
    if whole.startswith("-"):
        return seconds * 1_000_000_000 - nanoseconds
    return seconds * 1_000_000_000 + nanoseconds
