"""`moby.filesync.v1` and fsutil's messages, for transfers of files.

`FileSync.DiffCopy` and `FileSend.DiffCopy` are streams of `Packet`; for one file `FileSend` carries
bytes instead (`stream.py`). A context has tens of thousands of stats, so these two messages have
hand-written codecs. `SCHEMA` describes the same messages, for messages that embed a `Stat`.
"""

from __future__ import annotations

from enum import IntEnum

from lamina.base.errors import Corrupt
from lamina.base.named_tuple import NamedTuple
from lamina.wire.fields import data, integer, mapping, one, string
from lamina.wire.protobuf import Kind, Schema, decode, encode

FILE_SYNC = "moby.filesync.v1.FileSync"
DIFF_COPY = f"/{FILE_SYNC}/DiffCopy"
TAR_STREAM = f"/{FILE_SYNC}/TarStream"
FILE_SEND = "moby.filesync.v1.FileSend"
SEND_DIFF_COPY = f"/{FILE_SEND}/DiffCopy"

KEY_INCLUDE_PATTERNS = "include-patterns"
KEY_EXCLUDE_PATTERNS = "exclude-patterns"
KEY_FOLLOW_PATHS = "followpaths"
KEY_DIR_NAME = "dir-name"
KEY_VALIDATORS = "lamina-validators"
KEY_EXPORTER_META_PREFIX = "exporter-md-"
KEY_EXPORTER_ID = "buildkit-attachable-exporter-id"
KEY_EXPORTER_MULTI_PLATFORM = "buildkit-exporter-multi-platform"


class Stat(NamedTuple):
    """One file, without its content. `path` is relative, with slashes, and clean.

    `mode` is Go's (`filemode.py`); `mod_time` in nanoseconds since 1970; `linkname` a symbolic
    link's target, or for another file the path of the earlier file it is a hard link to.

    `validator` is lamina's extension, sent to peers that request it (`KEY_VALIDATORS`): a text that
    changes with the content of a regular file. If it begins with `sha256:`, it is the digest of the
    content.
    """

    path: str = ""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    mod_time: int = 0
    linkname: str = ""
    devmajor: int = 0
    devminor: int = 0
    xattrs: tuple[tuple[str, bytes], ...] = ()
    validator: str = ""


class PacketType(IntEnum):
    STAT = 0
    REQ = 1
    DATA = 2
    FIN = 3
    ERR = 4


class Packet(NamedTuple):
    """A packet. STAT: `stat`, or None after the last one. REQ: `id`, a stat's number. DATA: `id`
    and `data`, empty at the end of the file. ERR: `data` is a text. `type` may be unknown."""

    type: int = PacketType.STAT
    stat: Stat | None = None
    id: int = 0
    data: bytes = b""


SCHEMA: Schema = {
    Stat: (
        string(1, "path"),
        integer(2, "mode"),
        integer(3, "uid"),
        integer(4, "gid"),
        integer(5, "size"),
        integer(6, "mod_time"),
        string(7, "linkname"),
        integer(8, "devmajor"),
        integer(9, "devminor"),
        mapping(10, "xattrs", Kind.BYTES),
        string(15, "validator"),
    ),
    Packet: (integer(1, "type"), one(2, "stat", Stat), integer(3, "id"), data(4, "data")),
}

_MASK64 = (1 << 64) - 1
_FIN = b"\x08\x03"


def encode_stat(stat: Stat) -> bytes:
    """A STAT packet."""
    body = stat_bytes(stat)
    return b"\x12" + _varint(len(body)) + body


def encode_last_stat() -> bytes:
    """The STAT packet after all others: an empty message."""
    return b""


def encode_request(number: int) -> bytes:
    """A REQ packet for the file with a stat's number, counted from 0."""
    return b"\x08\x01" if not number else b"\x08\x01\x18" + _varint(number)


def encode_data(number: int, content: bytes) -> bytes:
    """A DATA packet; with no content, the file's last."""
    head = b"\x08\x02" if not number else b"\x08\x02\x18" + _varint(number)
    return head + b"\x22" + _varint(len(content)) + content if content else head


def encode_fin() -> bytes:
    return _FIN


def encode_error(text: str) -> bytes:
    content = text.encode("utf-8", "replace")
    return b"\x08\x04\x22" + _varint(len(content)) + content


def decode_packet(message: bytes) -> Packet:
    """Decode a packet. Raises Corrupt."""
    kind = number = at = 0
    stat = None
    content = b""
    end = len(message)
    try:
        while at < end:
            tag = message[at]
            at += 1
            if tag == 0x12:
                length, at = _read(message, at)
                if at + length > end:
                    raise Corrupt("malformed packet: truncated")
                stat = _decode_stat(message, at, at + length)
                at += length
            elif tag == 0x08:
                kind, at = _read(message, at)
            elif tag == 0x18:
                number, at = _read(message, at)
            elif tag == 0x22:
                length, at = _read(message, at)
                content = message[at : at + length]
                at += length
                if at > end:
                    raise Corrupt("malformed packet: truncated")
            else:
                slow: Packet = decode(message, Packet, SCHEMA)
                return slow
    except IndexError:
        raise Corrupt("malformed packet: truncated") from None
    return Packet(kind, stat, number, content)


def stat_bytes(stat: Stat) -> bytes:
    """The encoded `Stat`, without a packet."""
    path, mode, uid, gid, size, mod_time, linkname, devmajor, devminor, xattrs, validator = stat
    out = bytearray()
    if path:
        encoded = path.encode("utf-8", "surrogateescape")
        out += b"\x0a"
        out += _varint(len(encoded))
        out += encoded
    if mode:
        out += b"\x10"
        out += _varint(mode)
    if uid:
        out += b"\x18"
        out += _varint(uid)
    if gid:
        out += b"\x20"
        out += _varint(gid)
    if size:
        out += b"\x28"
        out += _varint(size)
    if mod_time:
        out += b"\x30"
        out += _varint(mod_time)
    if linkname:
        encoded = linkname.encode("utf-8", "surrogateescape")
        out += b"\x3a"
        out += _varint(len(encoded))
        out += encoded
    if devmajor or devminor or xattrs:
        out += encode(Stat(devmajor=devmajor, devminor=devminor, xattrs=xattrs), SCHEMA)
    if validator:
        encoded = validator.encode()
        out += b"\x7a"
        out += _varint(len(encoded))
        out += encoded
    return bytes(out)


def _decode_stat(message: bytes, start: int, end: int) -> Stat:
    path = linkname = validator = ""
    mode = uid = gid = size = mod_time = 0
    at = start
    while at < end:
        tag = message[at]
        at += 1
        if tag == 0x0A or tag == 0x3A or tag == 0x7A:
            length = message[at]
            at += 1
            if length >= 0x80:
                length, at = _read(message, at - 1)
            if at + length > end:
                raise Corrupt("malformed stat: truncated")
            text = message[at : at + length].decode("utf-8", "surrogateescape")
            at += length
            if tag == 0x0A:
                path = text
            elif tag == 0x3A:
                linkname = text
            else:
                validator = text
        elif tag in _NUMBERS:
            value = shift = 0
            while True:
                byte = message[at]
                at += 1
                value |= (byte & 0x7F) << shift
                if byte < 0x80:
                    break
                shift += 7
                if shift > 63:
                    raise Corrupt("malformed stat: bad varint")
            if tag == 0x10:
                mode = value
            elif tag == 0x18:
                uid = value
            elif tag == 0x20:
                gid = value
            elif tag == 0x28:
                size = value - (1 << 64) if value >> 63 else value
            else:
                mod_time = value - (1 << 64) if value >> 63 else value
        else:  # devices, extended attributes, unknown fields
            slow: Stat = decode(message[start:end], Stat, SCHEMA)
            return slow
    if at != end:
        raise Corrupt("malformed stat: truncated")
    return Stat(path, mode, uid, gid, size, mod_time, linkname, validator=validator)


_NUMBERS = frozenset((0x10, 0x18, 0x20, 0x28, 0x30))


def _varint(value: int) -> bytes:
    if 0 <= value < 0x80:
        return _SHORT[value]
    value &= _MASK64
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SHORT = tuple(bytes((value,)) for value in range(0x80))


def _read(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise Corrupt("malformed packet: bad varint")
