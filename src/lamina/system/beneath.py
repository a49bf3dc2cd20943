"""Directories below a root, opened by descriptor so that no link can lead out of it."""

from __future__ import annotations

import os

from lamina.system.removal import remove_tree

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT = 64


class Beneath:
    """Opens directories by relative path, part by part, without following symbolic links.

    The last few descriptors are kept, until the `with` block ends. Not thread-safe.
    """

    def __init__(self, root: str) -> None:
        """Raises OSError if `root` is not a directory or a link to one."""
        self._root = os.open(root, _DIRECTORY & ~os.O_NOFOLLOW)
        self._kept: dict[str, int] = {}

    def __enter__(self) -> Beneath:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        for fd in self._kept.values():
            os.close(fd)
        self._kept.clear()
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def directory(self, path: str) -> int:
        """The descriptor of a directory ("" is the root), valid until the next call.

        Raises OSError: ENOENT; ENOTDIR or ELOOP if a part is not a directory.
        `path` must be clean: no empty parts, no `.` or `..`.
        """
        if not path:
            return self._root
        fd = self._kept.pop(path, None)
        if fd is None:
            fd = self._open(path)
            if len(self._kept) >= _KEPT:
                os.close(self._kept.pop(next(iter(self._kept))))
        self._kept[path] = fd
        return fd

    def _open(self, path: str) -> int:
        parts: list[str] = []
        above = path
        while True:
            above, _, name = above.rpartition("/")
            parts.append(name)
            known = self._kept.get(above) if above else self._root
            if known is not None:
                break
        fd = known
        while parts:
            try:
                inner = os.open(parts.pop(), _DIRECTORY, dir_fd=fd)
            finally:
                if fd != known:
                    os.close(fd)
            fd = inner
        return fd

    def remove(self, path: str) -> None:
        """Remove what is at a path and everything below it, if it exists."""
        prefix = f"{path}/"
        for known in [p for p in self._kept if p == path or p.startswith(prefix)]:
            os.close(self._kept.pop(known))
        parent, _, name = path.rpartition("/")
        folder = self.directory(parent)
        remove_tree(name, dir_fd=folder)
