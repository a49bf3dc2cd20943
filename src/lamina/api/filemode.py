"""Go's file modes (`io/fs.FileMode`), which BuildKit's messages contain."""

from __future__ import annotations

import stat
from functools import lru_cache

DIRECTORY = 1 << 31
SYMLINK = 1 << 27
DEVICE = 1 << 26
NAMED_PIPE = 1 << 25
SOCKET = 1 << 24
SETUID = 1 << 23
SETGID = 1 << 22
CHAR_DEVICE = 1 << 21
STICKY = 1 << 20
IRREGULAR = 1 << 19
TYPE = DIRECTORY | SYMLINK | NAMED_PIPE | SOCKET | DEVICE | CHAR_DEVICE | IRREGULAR
"""The bits that are all zero for a regular file."""

_TYPES = {
    stat.S_IFREG: 0,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFBLK: DEVICE,
    stat.S_IFCHR: DEVICE | CHAR_DEVICE,
    stat.S_IFIFO: NAMED_PIPE,
    stat.S_IFSOCK: SOCKET,
}


@lru_cache(256)
def from_unix(mode: int) -> int:
    """Go's mode for an `st_mode`."""
    out = mode & 0o777 | _TYPES.get(stat.S_IFMT(mode), IRREGULAR)
    if mode & 0o7000:
        if mode & stat.S_ISUID:
            out |= SETUID
        if mode & stat.S_ISGID:
            out |= SETGID
        if mode & stat.S_ISVTX:
            out |= STICKY
    return out


def permissions(mode: int) -> int:
    """The lower twelve bits of an `st_mode`, from Go's mode."""
    out = mode & 0o777
    if mode & (SETUID | SETGID | STICKY):
        if mode & SETUID:
            out |= stat.S_ISUID
        if mode & SETGID:
            out |= stat.S_ISGID
        if mode & STICKY:
            out |= stat.S_ISVTX
    return out


def to_unix(mode: int) -> int:
    """The `st_mode` of Go's mode; an unknown type counts as a regular file."""
    if mode & DIRECTORY:
        kind = stat.S_IFDIR
    elif mode & SYMLINK:
        kind = stat.S_IFLNK
    elif mode & CHAR_DEVICE:
        kind = stat.S_IFCHR
    elif mode & DEVICE:
        kind = stat.S_IFBLK
    elif mode & NAMED_PIPE:
        kind = stat.S_IFIFO
    elif mode & SOCKET:
        kind = stat.S_IFSOCK
    else:
        kind = stat.S_IFREG
    return kind | permissions(mode)
