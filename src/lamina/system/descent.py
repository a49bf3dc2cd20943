"""Walks down a directory tree of any depth, and up again, by descriptor.

A path longer than PATH_MAX cannot be opened, a recursive function ends at Python's recursion limit,
and a descriptor for each level ends at the process's limit. So every step is relative to the
directory before it, and only the lowest levels stay open. The way up opens `..`, and checks that it
is the directory that was passed on the way down.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HELD = 32


class _Level:
    """A directory on the way; `fd` is -1 if it is not open any more."""

    __slots__ = ("fd", "identity")

    def __init__(self, fd: int, identity: tuple[int, int]) -> None:
        self.fd = fd
        self.identity = identity


class Descent:
    """A position in a tree: `fd` is the descriptor of the current directory.

    Closed by its `with` block. Raises OSError.
    """

    def __init__(self, path: str, *, dir_fd: int | None = None, follow: bool = False) -> None:
        """Start at a directory; with `follow`, a link to one is followed."""
        flags = _DIRECTORY & ~os.O_NOFOLLOW if follow else _DIRECTORY
        self.fd = os.open(path, flags, dir_fd=dir_fd)
        self._above: list[_Level] = []

    def __enter__(self) -> Descent:
        return self

    def __exit__(self, *exception: object) -> None:
        for fd in (self.fd, *(level.fd for level in self._above[-_HELD:])):
            if fd >= 0:
                os.close(fd)
        self._above.clear()
        self.fd = -1

    @property
    def depth(self) -> int:
        """The number of levels below the start."""
        return len(self._above)

    def enter(self, name: str) -> None:
        """Enter a real directory. On an error the position does not change."""
        fd = os.open(name, _DIRECTORY, dir_fd=self.fd)
        try:
            self._above.append(_Level(self.fd, _identity(self.fd)))
        except BaseException:
            os.close(fd)
            raise
        self.fd = fd
        if len(self._above) > _HELD:
            far = self._above[-_HELD - 1]
            if far.fd >= 0:
                os.close(far.fd)
                far.fd = -1

    def leave(self) -> None:
        """Return to the parent. Raises OSError (ESTALE) if the directory was moved meanwhile."""
        level = self._above[-1]
        if level.fd < 0:
            fd = os.open("..", _DIRECTORY, dir_fd=self.fd)
            if _identity(fd) != level.identity:
                os.close(fd)
                raise OSError(errno.ESTALE, "the directory was moved while it was walked")
            level.fd = fd
        self._above.pop()
        os.close(self.fd)
        self.fd = level.fd


class Visit(NamedTuple):
    """An entry of a tree. `folder` is the descriptor of its directory, and `parents` are the names
    that lead there; both are only valid until the walk goes on."""

    folder: int
    name: str
    status: os.stat_result
    parents: list[str]

    @property
    def path(self) -> str:
        """Relative to the walk's root."""
        return "/".join((*self.parents, self.name))

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


def walk_tree(root: str, *, max_depth: int | None = None) -> Iterator[Visit]:
    """All entries below a directory, directories before their content, by the bytes of names.

    Entries that are removed meanwhile are skipped. With `max_depth`, directories that many levels
    below the root are returned without their content. Raises OSError.
    """
    parents: list[str] = []
    with Descent(root, follow=True) as descent:
        levels = [iter(_names(descent.fd))]
        while levels:
            name = next(levels[-1], None)
            if name is None:
                levels.pop()
                if levels:
                    descent.leave()
                    parents.pop()
                continue
            try:
                status = os.lstat(name, dir_fd=descent.fd)
            except FileNotFoundError:
                continue
            yield Visit(descent.fd, name, status, parents)
            if not stat.S_ISDIR(status.st_mode) or descent.depth + 1 == max_depth:
                continue
            try:
                descent.enter(name)
            except (FileNotFoundError, NotADirectoryError):
                continue
            parents.append(name)
            levels.append(iter(_names(descent.fd)))


def _names(folder: int) -> list[str]:
    return sorted(os.listdir(folder), key=os.fsencode)


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino
