"""The user of a process: names are looked up in files of the root file system."""

from __future__ import annotations

import os

from lamina.base.errors import InvalidInput, NotFound
from lamina.base.named_tuple import NamedTuple
from lamina.system.regular import open_regular

_LIMIT = 4 << 20
_MAX_LINKS = 40
_NO_ID = (1 << 32) - 1


class Identity(NamedTuple):
    uid: int
    gid: int
    additional: tuple[int, ...]
    home: str


def find_identity(rootfs: str, user: str) -> Identity:
    """Resolve `name|uid[:group|gid]`; "" is root. Raises NotFound.

    Without a group, the process gets the user's groups, as in Docker.
    """
    wanted, colon, wanted_group = user.partition(":")
    wanted = wanted or "0"
    uid = _number(wanted)
    gid = 0
    name = ""
    home = "/"
    for fields in _rows(rootfs, "etc/passwd"):
        if len(fields) < 4 or min(_number(fields[2]), _number(fields[3])) < 0:
            continue
        if fields[0] == wanted or _number(fields[2]) == uid:
            uid, gid, name = _number(fields[2]), _number(fields[3]), fields[0]
            home = fields[5] if len(fields) > 5 and fields[5] else "/"
            break
    if uid < 0:
        raise NotFound(
            f'no user named "{wanted}" in the image\'s /etc/passwd',
            hint="use a number, or add the user in a RUN step before",
        )
    if colon and wanted_group:
        return Identity(uid, _group(rootfs, wanted_group), (), home)
    groups = [
        _number(fields[2])
        for fields in _rows(rootfs, "etc/group")
        if name and len(fields) > 3 and _number(fields[2]) >= 0 and name in fields[3].split(",")
    ]
    return Identity(uid, gid, tuple(g for g in groups if g != gid), home)


def _group(rootfs: str, wanted: str) -> int:
    gid = _number(wanted)
    if gid >= 0:
        return gid
    for fields in _rows(rootfs, "etc/group"):
        if fields[0] == wanted and len(fields) > 2 and _number(fields[2]) >= 0:
            return _number(fields[2])
    raise NotFound(f'no group named "{wanted}" in the image\'s /etc/group')


def _rows(rootfs: str, path: str) -> list[list[str]]:
    """The fields of each line of a file of an image, which can be malformed."""
    try:
        fd = open_regular(beneath(rootfs, path))
    except (OSError, InvalidInput):
        return []
    with open(fd, encoding="utf-8", errors="surrogateescape") as file:
        return [line.split(":") for line in file.read(_LIMIT).split("\n")]


def _number(text: str) -> int:
    """A user's or group's number, or -1."""
    if not text.isascii() or not text.isdecimal() or len(text) > 10:
        return -1
    number = int(text)
    return number if number < _NO_ID else -1


def beneath(root: str, path: str) -> str:
    """Resolve a path with `root` as `/`: links cannot lead out of it."""
    todo = [part for part in path.split("/") if part not in ("", ".")]
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop(0)
        if part == "..":
            del done[-1:]
            continue
        done.append(part)
        try:
            target = os.readlink(os.path.join(root, *done))
        except OSError:
            continue
        links += 1
        if links > _MAX_LINKS:
            break
        done.pop()
        if target.startswith("/"):
            done = []
        todo[:0] = [piece for piece in target.split("/") if piece not in ("", ".")]
    return os.path.join(root, *done)
