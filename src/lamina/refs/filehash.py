"""The digest of a file, equal to BuildKit's, so that caches can be shared with it.

SHA-256 of the fields of the tar header except the time (in the order of Docker's "tarsum v1"), and
then the content: see BuildKit's `cache/contenthash`.
"""

from __future__ import annotations

import errno
import os
import stat
from hashlib import sha256
from typing import TYPE_CHECKING

from lamina.base.digest import Digest
from lamina.system.file_metadata import KERNEL_METADATA

if TYPE_CHECKING:
    from hashlib import _Hash

    from lamina.system.file_metadata import FileMetadata

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
OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""For a file that was just seen as regular. If a FIFO replaced it, opening must not block."""

GONE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR))
"""The errors of the system for a file that was removed or replaced."""

Xattrs = tuple[tuple[str, bytes], ...]


def read_xattrs(path: str, mode: int, metadata: FileMetadata = KERNEL_METADATA) -> Xattrs:
    """The extended attributes that are part of a file's digest, sorted by name.

    `mode` is its `st_mode`.
    """
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return ()
    found = []
    for name in sorted(names):
        if metadata.hides(name, mode):
            continue
        if name == "security.capability" or not name.startswith(("security.", "system.")):
            try:
                found.append((name, os.getxattr(path, name, follow_symlinks=False)))
            except OSError:
                continue
    return tuple(found)


def header_hash(
    status: os.stat_result, *, link: str, xattrs: Xattrs, owner: tuple[int, int]
) -> _Hash:
    """A hash of the metadata. Update it with the content.

    `xattrs` are sorted by name, as `read_xattrs` returns them.
    """
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


def hash_file(
    path: str,
    status: os.stat_result,
    owner: tuple[int, int],
    link: str = "",
    metadata: FileMetadata = KERNEL_METADATA,
) -> tuple[Digest, bool]:
    """The digest of a file, link, device or directory (without its content).

    `status` is its `lstat` result, `link` the target of a symbolic link. Also returns whether the
    file is still the one of `status` and did not change while it was read. If not, the digest can
    be one that the file never had. Raises OSError.
    """
    hashed = header_hash(
        status, link=link, xattrs=read_xattrs(path, status.st_mode, metadata), owner=owner
    )
    steady = True
    if stat.S_ISREG(status.st_mode):
        file = os.open(path, OPEN_FLAGS)
        try:
            before = os.fstat(file)
            if not stat.S_ISREG(before.st_mode):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            while chunk := os.read(file, _CHUNK):
                hashed.update(chunk)
            steady = same_file(before, status) and same_file(before, os.fstat(file))
        finally:
            os.close(file)
    return Digest("sha256:" + hashed.hexdigest()), steady


def same_file(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two statuses are of the same file with the same content, as far as they show."""
    return (one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) == (
        other.st_dev,
        other.st_ino,
        other.st_size,
        other.st_mtime_ns,
        other.st_ctime_ns,
    )
