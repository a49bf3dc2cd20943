"""Archives that try to write outside of the directory that they are unpacked into, or unpack to too
much."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from typing import TYPE_CHECKING

import zstandard

from tests.fuzz.mutations import mutated

if TYPE_CHECKING:
    import random
    from pathlib import Path

_TYPES = (
    *(tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE),
    *(tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, b"Z"),
)
_NAMES = (
    *("a", "a/b", "a/b/c", "l", "l/x", "l/../x", "./a", "a//b", "a/", "", ".", "/", ".."),
    *("../x", "a/../../x", "../../../../../../x", "//x", ".wh.a", "a/.wh.b", ".wh..wh..opq"),
    *(".wh...", ".wh..", ".wh.", "a/.wh..", ".wh..wh.plnk", "a\\b", "\udcff", "n" * 255),
    *("etc/passwd", "etc/group", "etc", "tmp/x", "proc/self/x", "dev/null", "bin/sh"),
)
_XATTRS = ("user.x", "security.capability", "trusted.overlay.opaque", "trusted.overlay.redirect")
_NUMBERS = (0, 0, 0, 1, 1000, 65534, (1 << 32) - 1, 1 << 32, 1 << 40)


def escapes(folder: Path) -> tuple[str, ...]:
    """Names and link targets that lead to a directory of the host."""
    up = "../" * 20
    return (f"{folder}", f"{folder}/x", f"{up}{folder}/x", f"a/{up}{folder}", f"/{folder}/canary")


def bad_archive(chance: random.Random, outside: Path) -> bytes:
    """A tar archive, possibly compressed, possibly truncated."""
    names = (*_NAMES, *escapes(outside))
    packed = io.BytesIO()
    form = chance.choice((tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    with tarfile.open(fileobj=packed, mode="w", format=form, errors="surrogateescape") as tar:
        for _ in range(chance.randint(1, 12)):
            _add(chance, tar, chance.choice(names), chance.choice(names))
        if chance.random() < 0.05:
            _add(chance, tar, "d/" * chance.choice((200, 1500, 3000)) + "x", "x")
    data = packed.getvalue()
    if chance.random() < 0.3:
        data = mutated(chance, data, (b"\0", b"7777", b"-1", b"../", b"99999999999"))
    if chance.random() < 0.1:
        data = data[: chance.randrange(len(data) + 1)]
    data = chance.choice((bytes, bytes, gzip.compress, zstd, bz2.compress, lzma.compress))(data)
    return mutated(chance, data, ()) if chance.random() < 0.1 else data


def bomb(chance: random.Random) -> bytes:
    """A bomb: few bytes that unpack to 1 GB, in an archive with one file."""
    info = tarfile.TarInfo("large")
    info.size = 1 << 30
    head, zeros = info.tobuf(), bytes(1 << 24)
    if chance.random() < 0.5:
        parts = [gzip.compress(head, 1), *[gzip.compress(zeros, 1)] * 64]
        return b"".join([*parts, gzip.compress(bytes(1024))])
    packer = zstandard.ZstdCompressor(1).compressobj()
    parts = [packer.compress(head), *(packer.compress(zeros) for _ in range(64))]
    return b"".join([*parts, packer.compress(bytes(1024)), packer.flush()])


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(1).compress(data)


def _add(chance: random.Random, tar: tarfile.TarFile, name: str, target: str) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = chance.choice(_TYPES), target
    info.mode = chance.choice((0o644, 0o755, 0o4777, 0, 0o7777))
    info.uid, info.gid = chance.choice(_NUMBERS), chance.choice(_NUMBERS)
    info.mtime = chance.choice((0, 1_700_000_000, (1 << 33) - 1))
    info.devmajor, info.devminor = chance.choice(((1, 3), (8, 0), (0, 0)))
    data = b"out\n" * chance.choice((0, 1, 200)) if info.isreg() else b""
    info.size = len(data)
    if chance.random() < 0.15:
        info.pax_headers = {f"SCHILY.xattr.{chance.choice(_XATTRS)}": "y"}
    if chance.random() < 0.05:
        key = chance.choice(("size", "uid", "mtime", "path", "linkpath", "GNU.sparse.map"))
        info.pax_headers = {key: chance.choice(("-1", "9" * 30, "nan", "1e400", "", "../x", "0,9"))}
    try:
        tar.addfile(info, io.BytesIO(data))
    except (ValueError, UnicodeError):  # not representable in this format
        tar.addfile(tarfile.TarInfo("a"))
