"""The files of images as values."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from lamina.sbom.package import Package as InstalledPackage

WHITEOUT_KIND = 0
"""The type bits of a whiteout among the entries of a layer."""

_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "FIFO",
    WHITEOUT_KIND: "whiteout",
}
_MANAGERS = {"deb": "dpkg", "pypi": "python", "npm": "node", "golang": "go"}


class Package(NamedTuple):
    """An installed package.

    `manager` is `dpkg`, `apk`, `rpm`, `python`, `node`, `go`, `cargo`, `gem` or `composer`.
    """

    manager: str
    name: str
    version: str


def as_compared(package: InstalledPackage) -> Package:
    """A package with its manager, and the name and version that this manager shows."""
    epoch = dict(package.qualifiers).get("epoch", "")
    version = f"{epoch}:{package.version}" if epoch else package.version
    return Package(_MANAGERS.get(package.kind, package.kind), package.full_name, version)


class PackageList(NamedTuple):
    """The packages that a file lists. `problem` says why they could not be read, else it is ""."""

    packages: tuple[Package, ...] = ()
    problem: str = ""


class File(NamedTuple):
    """A file of any type.

    `mode` includes the type bits; `digest` is the SHA-256 of a regular file's content (32 bytes,
    empty for other types); `target` is that of a symbolic link; `mtime_ns` is None for a directory
    that no layer has an entry for. `hard_link`, in a layer only, is the path of the entry that this
    one is a hard link to; its other fields are then meaningless.
    """

    mode: int
    uid: int = 0
    gid: int = 0
    mtime_ns: int | None = None
    size: int = 0
    digest: bytes = b""
    target: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, bytes], ...] = ()
    hard_link: str = ""
    packages: PackageList | None = None

    @property
    def kind(self) -> int:
        """The type bits, as `stat.S_IFMT` gives them."""
        return stat.S_IFMT(self.mode)

    @property
    def type(self) -> str:
        """The type in words."""
        return "hard link" if self.hard_link else _TYPES[self.kind]


IMPLIED = File(stat.S_IFDIR | 0o755)
"""A directory without an entry in any layer, with the metadata that lamina gives it."""
WHITEOUT_FILE = File(WHITEOUT_KIND)


def differences(before: File, after: File, *, times: bool) -> tuple[str, ...]:
    """The names of the differences: `type`, `content`, `mode`, `owner`, `target`, `device`,
    `xattrs`, `hard link` and, if requested, `time`."""
    if before.hard_link or after.hard_link:
        return () if before.hard_link == after.hard_link else ("hard link",)
    if before == after:
        return ()
    found = []
    if before.kind != after.kind:
        found.append("type")
    elif (before.digest, before.size) != (after.digest, after.size):
        found.append("content")
    link = stat.S_IFLNK in (before.kind, after.kind)  # the mode of a symbolic link is meaningless
    if not link and stat.S_IMODE(before.mode) != stat.S_IMODE(after.mode):
        found.append("mode")
    if (before.uid, before.gid) != (after.uid, after.gid):
        found.append("owner")
    if before.kind == after.kind:
        if before.target != after.target:
            found.append("target")
        if before.device != after.device:
            found.append("device")
    if sorted(before.xattrs) != sorted(after.xattrs):
        found.append("xattrs")
    known = None not in (before.mtime_ns, after.mtime_ns)
    if times and known and before.mtime_ns != after.mtime_ns:
        found.append("time")
    return tuple(found)
