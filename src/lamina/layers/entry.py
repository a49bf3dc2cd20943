"""A member of the tar stream of a layer."""

from __future__ import annotations

import stat

from lamina.base.named_tuple import NamedTuple

WHITEOUT = ".wh."
"""The prefix of the name of a whiteout (OCI image spec, `layer.md`)."""
OPAQUE = ".wh..wh..opq"
"""The name of an opaque whiteout, which hides everything below in its directory."""


class Entry(NamedTuple):
    """`path` is relative, without a trailing slash; `mode` includes the type bits.

    `hard_link` is the path of the entry that this is a hard link to, `link` the target of a
    symbolic link, `size` the number of content bytes.
    """

    path: str
    mode: int
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size: int = 0
    link: str = ""
    hard_link: str = ""
    rdev_major: int = 0
    rdev_minor: int = 0
    xattrs: tuple[tuple[str, bytes], ...] = ()

    @property
    def kind(self) -> int:
        return stat.S_IFMT(self.mode)


def whiteout(path: str) -> Entry:
    """The entry that hides `path`."""
    parent, slash, name = path.rpartition("/")
    return Entry(f"{parent}{slash}{WHITEOUT}{name}", stat.S_IFREG)
