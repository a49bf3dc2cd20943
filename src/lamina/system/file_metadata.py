"""Metadata of files in a store, also metadata that the kernel does not permit to this process.

Root's store has every owner, device and mark of overlayfs as it is. In a user namespace (see
`lamina.system.user_namespace`) some are kept in extended attributes instead:

- A file whose owner is not mapped belongs to root, and `user.lamina.stat` has `UID:GID`.
- A device is an empty file, and `user.lamina.stat` has `UID:GID:char-MAJOR-MINOR` or
  `UID:GID:block-MAJOR-MINOR`, similar to `user.containers.override_stat` of containers/storage.
- Symbolic links and pipes cannot have attributes of `user.`. The fields of `security.capability`,
  which the kernel ignores for them, hold their owner.
- The marks of overlayfs are in `user.overlay.` (mount option `userxattr`).

`chown` in a step takes precedence: the recorded ID only counts while the file still belongs to
root.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from lamina.system.user_namespace import IdMap

_OVERRIDE = "user.lamina.stat"
_CAPABILITY = "security.capability"
_CAPABILITY_FIELDS = "<IIIII"
_REVISION_2 = 0x02000000
_MARK = 0x6C616D69
"""The upper half of both capability sets of a link: no kernel has such capabilities."""
_KINDS = {stat.S_IFCHR: "char", stat.S_IFBLK: "block"}
_NO_ID = (1 << 32) - 1
_MAJORS, _MINORS = 1 << 12, 1 << 20
"""Numbers of devices are smaller (Linux: MKDEV)."""
_FIELDS = 10
"""The fields of `os.stat_result` as a sequence."""


class FileMetadata(Protocol):
    """How the files of a store have their metadata. Methods do not follow links, and raise
    OSError."""

    @property
    def overlay_prefix(self) -> str:
        """What the names of overlayfs's attributes begin with."""
        ...

    @property
    def overlay_options(self) -> str:
        """Options of overlay mounts."""
        ...

    def status(self, path: str, status: os.stat_result) -> os.stat_result:
        """What an image has at `path`. `status` is what the kernel says."""
        ...

    def hides(self, attribute: str, mode: int) -> bool:
        """Whether an extended attribute is not one of the image's file."""
        ...

    def own(self, place: str | int, uid: int, gid: int, *, dir_fd: int | None = None) -> None:
        """Set the owner of a file, given as a path or a descriptor."""
        ...

    def make_node(
        self,
        path: str,
        mode: int,
        device: int,
        owner: tuple[int, int],
        *,
        dir_fd: int | None = None,
    ) -> None:
        """Create a device or a pipe with its owner and mode."""
        ...

    def nearest(self, uid: int, gid: int) -> tuple[int, int]:
        """The owner that the kernel can give to a file: root in place of one that is not mapped."""
        ...

    @property
    def limits(self) -> str:
        """A hint about commands that fail because few IDs are mapped; "" if many are."""
        ...

    def tolerates(self, error: OSError) -> bool:
        """Whether an extended attribute that the kernel refused can be left out."""
        ...


class KernelMetadata(NamedTuple):
    """The metadata of root's store."""

    overlay_prefix: str = "trusted.overlay."
    overlay_options: str = ""

    def status(self, path: str, status: os.stat_result) -> os.stat_result:
        return status

    def hides(self, attribute: str, mode: int) -> bool:
        return attribute.startswith(self.overlay_prefix)

    def own(self, place: str | int, uid: int, gid: int, *, dir_fd: int | None = None) -> None:
        _chown(place, uid, gid, dir_fd)

    def make_node(
        self,
        path: str,
        mode: int,
        device: int,
        owner: tuple[int, int],
        *,
        dir_fd: int | None = None,
    ) -> None:
        os.mknod(path, mode, device, dir_fd=dir_fd)
        os.chown(path, *owner, dir_fd=dir_fd, follow_symlinks=False)
        os.chmod(path, stat.S_IMODE(mode), dir_fd=dir_fd)

    def nearest(self, uid: int, gid: int) -> tuple[int, int]:
        return uid, gid

    @property
    def limits(self) -> str:
        return ""

    def tolerates(self, error: OSError) -> bool:
        return False


class OverriddenMetadata(NamedTuple):
    """The metadata of a store in a user namespace, with these IDs."""

    ids: IdMap
    overlay_prefix: str = "user.overlay."
    overlay_options: str = "userxattr"

    def status(self, path: str, status: os.stat_result) -> os.stat_result:
        mode = status.st_mode
        if status.st_uid and status.st_gid and (status.st_size or not stat.S_ISREG(mode)):
            return status  # its owner is mapped, and it cannot stand for a device
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            return _overridden(path, status)
        return _owned_link(path, status)

    def hides(self, attribute: str, mode: int) -> bool:
        if attribute.startswith("user."):
            return attribute == _OVERRIDE or attribute.startswith(self.overlay_prefix)
        return attribute == _CAPABILITY and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))

    def own(self, place: str | int, uid: int, gid: int, *, dir_fd: int | None = None) -> None:
        nearest = self.nearest(uid, gid)
        _chown(place, *nearest, dir_fd)
        if nearest == (uid, gid):
            with suppress(OSError):  # a directory may have had another owner before
                os.removexattr(_xattr_place(place, dir_fd), _OVERRIDE, **_follow(place))
            return
        where = _xattr_place(place, dir_fd)
        try:
            os.setxattr(where, _OVERRIDE, f"{uid}:{gid}".encode(), **_follow(place))
        except OSError as error:
            if error.errno != errno.EPERM:
                raise
            fields = (_REVISION_2, uid, gid, _MARK, _MARK)
            os.setxattr(
                where, _CAPABILITY, struct.pack(_CAPABILITY_FIELDS, *fields), **_follow(place)
            )

    def make_node(
        self,
        path: str,
        mode: int,
        device: int,
        owner: tuple[int, int],
        *,
        dir_fd: int | None = None,
    ) -> None:
        kind = _KINDS.get(stat.S_IFMT(mode))
        os.mknod(path, stat.S_IFREG if kind else mode, dir_fd=dir_fd)
        self.own(path, *owner, dir_fd=dir_fd)
        os.chmod(path, stat.S_IMODE(mode), dir_fd=dir_fd)
        if kind:
            value = f"{owner[0]}:{owner[1]}:{kind}-{os.major(device)}-{os.minor(device)}"
            os.setxattr(
                _xattr_place(path, dir_fd), _OVERRIDE, value.encode(), follow_symlinks=False
            )

    def nearest(self, uid: int, gid: int) -> tuple[int, int]:
        return uid if self.ids.has_uid(uid) else 0, gid if self.ids.has_gid(gid) else 0

    @property
    def limits(self) -> str:
        if not self.ids.only_root:
            return ""
        from lamina.system.user_namespace import RANGES_HINT

        return f"if it changes the owner of a file, or its own user: {RANGES_HINT}"

    def tolerates(self, error: OSError) -> bool:
        return error.errno in (errno.EPERM, errno.ENOTSUP)


KERNEL_METADATA = KernelMetadata()


def _overridden(path: str, status: os.stat_result) -> os.stat_result:
    try:
        value = os.getxattr(path, _OVERRIDE, follow_symlinks=False)
    except OSError:
        return status
    uid, _, rest = value.decode("ascii", "replace").partition(":")
    gid, _, device = rest.partition(":")
    owner = _number(uid, _NO_ID), _number(gid, _NO_ID)
    if owner[0] is None or owner[1] is None:
        return status  # a step has written it
    changed = _with_owner(status, owner[0], owner[1])
    if not device or not stat.S_ISREG(status.st_mode):
        return changed
    kind, major, minor = (*device.split("-"), "", "", "")[:3]
    numbers = _number(major, _MAJORS), _number(minor, _MINORS)
    if kind not in _KINDS.values() or numbers[0] is None or numbers[1] is None:
        return changed
    mode = stat.S_IFCHR if kind == _KINDS[stat.S_IFCHR] else stat.S_IFBLK
    rdev = os.makedev(numbers[0], numbers[1])
    return _replaced(changed, mode | stat.S_IMODE(status.st_mode), rdev)


def _number(text: str, limit: int) -> int | None:
    """A number below the limit; None for other text."""
    if not text.isascii() or not text.isdecimal() or len(text) > 10:
        return None
    return int(text) if int(text) < limit else None


def _owned_link(path: str, status: os.stat_result) -> os.stat_result:
    try:
        value = os.getxattr(path, _CAPABILITY, follow_symlinks=False)
        _, uid, gid, *marks = struct.unpack(_CAPABILITY_FIELDS, value)
    except (OSError, struct.error):
        return status
    return _with_owner(status, uid, gid) if marks == [_MARK, _MARK] else status


def _with_owner(status: os.stat_result, uid: int, gid: int) -> os.stat_result:
    fields = list(status[:_FIELDS])
    if status.st_uid == 0:
        fields[stat.ST_UID] = uid
    if status.st_gid == 0:
        fields[stat.ST_GID] = gid
    return os.stat_result(fields, _named(status))


def _replaced(status: os.stat_result, mode: int, device: int) -> os.stat_result:
    fields = list(status[:_FIELDS])
    fields[stat.ST_MODE] = mode
    return os.stat_result(fields, {**_named(status), "st_rdev": device})


def _named(status: os.stat_result) -> dict[str, int]:
    """The fields that `os.stat_result` has by name only."""
    names = ("st_atime_ns", "st_mtime_ns", "st_ctime_ns", "st_blksize", "st_blocks", "st_rdev")
    return {name: getattr(status, name) for name in names}


def _chown(place: str | int, uid: int, gid: int, dir_fd: int | None) -> None:
    if isinstance(place, int):
        os.fchown(place, uid, gid)
    else:
        os.chown(place, uid, gid, dir_fd=dir_fd, follow_symlinks=False)


def _xattr_place(place: str | int, dir_fd: int | None) -> str | int:
    """What the functions for extended attributes take, which know no `dir_fd`."""
    return place if dir_fd is None else f"/proc/self/fd/{dir_fd}/{place}"


def _follow(place: str | int) -> dict[str, bool]:
    return {} if isinstance(place, int) else {"follow_symlinks": False}
