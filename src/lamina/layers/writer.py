"""Writes tar headers: ustar where it suffices, pax records for the rest (POSIX.1-2001).

Equal entries give equal bytes: no user names, no access times, no clock.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.layers.entry import Entry

BLOCK = 512
END = bytes(2 * BLOCK)

_TYPES = {
    stat.S_IFREG: b"0",
    stat.S_IFLNK: b"2",
    stat.S_IFCHR: b"3",
    stat.S_IFBLK: b"4",
    stat.S_IFDIR: b"5",
    stat.S_IFIFO: b"6",
}
_MAX_ID = 0o7777777
_MAX_SIZE = 0o77777777777


def header(entry: Entry) -> bytes:
    """The header blocks of an entry, with pax headers. The padded content follows them."""
    name = os.fsencode(entry.path)
    kind = entry.kind
    if kind == stat.S_IFDIR:
        name += b"/"
    link = os.fsencode(entry.hard_link or entry.link)
    typeflag = b"1" if entry.hard_link else _TYPES[kind]
    size = entry.size if typeflag == b"0" else 0
    seconds, nanoseconds = divmod(entry.mtime_ns, 1_000_000_000)
    records: list[tuple[bytes, bytes]] = []
    prefix = b""
    if len(name) > 100 or not name.isascii():
        split = _split(name) if name.isascii() else None
        if split is None:
            records.append((b"path", name))
            name = name[-100:] if name.isascii() else name[:100]
        else:
            prefix, name = split
    if len(link) > 100 or not link.isascii():
        records.append((b"linkpath", link))
        link = link[:100]
    if entry.uid > _MAX_ID:
        records.append((b"uid", b"%d" % entry.uid))
    if entry.gid > _MAX_ID:
        records.append((b"gid", b"%d" % entry.gid))
    if size > _MAX_SIZE:
        records.append((b"size", b"%d" % size))
    if nanoseconds or not 0 <= seconds <= _MAX_SIZE:
        records.append((b"mtime", _time(seconds, nanoseconds)))
        seconds = seconds if 0 <= seconds <= _MAX_SIZE else 0
    records.extend(
        (b"SCHILY.xattr." + attribute.encode(), value) for attribute, value in entry.xattrs
    )
    block = _block(
        name[:100],
        entry.mode & 0o7777,
        min(entry.uid, _MAX_ID) if entry.uid <= _MAX_ID else 0,
        entry.gid if entry.gid <= _MAX_ID else 0,
        size if size <= _MAX_SIZE else 0,
        seconds,
        typeflag,
        link,
        entry.rdev_major,
        entry.rdev_minor,
        prefix,
    )
    if not records:
        return block
    body = b"".join(_record(key, value) for key, value in sorted(records))
    pax_name = b"PaxHeaders.0/" + name[:80].rstrip(b"/").rpartition(b"/")[2]
    return _block(pax_name, 0, 0, 0, len(body), 0, b"x", b"", 0, 0, b"") + pad(body) + block


def pad(data: bytes) -> bytes:
    """Pad data with zeros to whole blocks."""
    return data + bytes(-len(data) % BLOCK)


def padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def _block(
    name: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    typeflag: bytes,
    link: bytes,
    major: int,
    minor: int,
    prefix: bytes,
) -> bytes:
    head = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        name.ljust(100, b"\0"),
        mode,
        uid,
        gid,
        size,
        mtime,
    )
    device = b"%07o\0%07o\0" % (major, minor) if typeflag in b"34" else bytes(16)
    tail = b"%b%bustar\00000%64b%b%b%12b" % (
        typeflag,
        link.ljust(100, b"\0"),
        bytes(64),
        device,
        prefix.ljust(155, b"\0"),
        bytes(12),
    )
    checksum = sum(head) + sum(tail) + 256  # eight spaces stand for the checksum itself
    return b"%b%06o\0 %b" % (head, checksum, tail)


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Split a long name into ustar's prefix and name, if it can be split at a slash."""
    if len(name) > 256:
        return None
    cut = name.rfind(b"/", 0, 156)
    if cut <= 0 or len(name) - cut - 1 > 100 or len(name) == cut + 1:
        return None
    return name[:cut], name[cut + 1 :]


def _time(seconds: int, nanoseconds: int) -> bytes:
    if seconds < 0 and nanoseconds:
        seconds, nanoseconds = seconds + 1, 1_000_000_000 - nanoseconds
        sign = b"-" if seconds == 0 else b""
    else:
        sign = b""
    text = b"%b%d.%09d" % (sign, seconds, nanoseconds)
    return text.rstrip(b"0").rstrip(b".")


def _record(key: bytes, value: bytes) -> bytes:
    """A pax record: its own length, key, value (POSIX pax, "extended header")."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)
