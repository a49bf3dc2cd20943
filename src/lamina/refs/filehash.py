"""The digest of one file: BuildKit's, so that caches can be shared with it.

SHA-256 over the tar header's fields without the time (Docker's historical "tarsum v1" order),
then the content. Facts from BuildKit's `cache/contenthash`.
"""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.digest import Digest
from lamina.base.errors import Unavailable

if TYPE_CHECKING:
    from hashlib import _Hash

_CHUNK = 1 << 20
_TYPES = {
    stat.S_IFREG: b"0",
    stat.S_IFLNK: b"2",
    stat.S_IFCHR: b"3",
    stat.S_IFBLK: b"4",
    stat.S_IFDIR: b"5",
    stat.S_IFIFO: b"6",
    stat.S_IFSOCK: b"0",
}
_ATTEMPTS = 5

Xattrs = tuple[tuple[str, bytes], ...]


def read_xattrs(path: str) -> Xattrs:
    """The extended attributes that travel with a file, sorted by name."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return ()
    found = []
    for name in sorted(names):
        if name == "security.capability" or not name.startswith(
            ("security.", "system.", "trusted.overlay.")
        ):
            try:
                found.append((name, os.getxattr(path, name, follow_symlinks=False)))
            except OSError:
                continue
    return tuple(found)


def header_hash(
    status: os.stat_result, *, link: str, xattrs: Xattrs, owner: tuple[int, int]
) -> _Hash:
    """A hash that has taken in the metadata; feed it the content."""
    mode = stat.S_IMODE(status.st_mode)
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFLNK:
        mode |= 0o777
    size = status.st_size if kind == stat.S_IFREG else 0
    major = minor = 0
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    text = (b"namemode%duid%dgid%dsize%dtypeflag%blinkname%bunamegnamedevmajor%ddevminor%d") % (
        mode,
        owner[0],
        owner[1],
        size,
        _TYPES[kind],
        os.fsencode(link),
        major,
        minor,
    )
    digest = sha256(text)
    for name, value in xattrs:
        digest.update(name.encode() + value)
    return digest


def hash_file(path: str, status: os.stat_result, owner: tuple[int, int]) -> Digest:
    """The digest of a file, link, device or directory entry (without what is in it).

    A regular file that changes while it is read is read again. Raises Unavailable if it never
    rests.
    """
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        link = os.readlink(path) if kind == stat.S_IFLNK else ""
        hashed = header_hash(status, link=link, xattrs=read_xattrs(path), owner=owner)
        return Digest("sha256:" + hashed.hexdigest())
    for _ in range(_ATTEMPTS):
        with open(path, "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            hashed = header_hash(before, link="", xattrs=read_xattrs(path), owner=owner)
            read = 0
            while chunk := file.read(_CHUNK):
                hashed.update(chunk)
                read += len(chunk)
            after = os.fstat(file.fileno())
        if read == before.st_size and same_file(before, after):
            return Digest("sha256:" + hashed.hexdigest())
    raise Unavailable(f"{path} keeps changing while it is read", hint="let its writer finish first")


def same_file(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two looks at a file saw the same content, as far as the kernel tells."""
    return (one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) == (
        other.st_dev,
        other.st_ino,
        other.st_size,
        other.st_mtime_ns,
        other.st_ctime_ns,
    )
