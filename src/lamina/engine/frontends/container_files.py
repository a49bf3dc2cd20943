"""Reads files in the mounts of frontends' containers, while processes may run in them.

The kernel resolves paths with the mount as their root: a process that replaces a directory by a
link cannot lead out of it.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound, from_os_error
from lamina.engine.frontends.result_files import FileStatus, read_open_file
from lamina.system.mount_tree import open_in_root
from lamina.system.regular import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator


def read_mounted_file(root: str, path: str, offset: int = 0, length: int = 0) -> bytes:
    """Read a file, `length` bytes at most (0: all). Raises NotFound, InvalidInput."""
    with _opened(root, path) as fd:
        try:
            regular = open_regular(f"/proc/self/fd/{fd}", follow=True)
        except InvalidInput:
            raise InvalidInput(f"read {path}: not a regular file") from None
        with open(regular, "rb", buffering=0) as file:
            return read_open_file(file, path, offset, length)


def read_mounted_folder(root: str, path: str, pattern: str = "") -> list[FileStatus]:
    """List a directory, by name; only names that match `pattern`, if there is one.

    Raises NotFound, InvalidInput (not a directory).
    """
    with _opened(root, path) as fd:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            raise InvalidInput(f"readdir {path}: not a directory")
        folder = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            names = sorted(os.listdir(folder), key=os.fsencode)
            found = []
            for name in names:
                if not pattern or fnmatch.fnmatchcase(name, pattern):
                    entry = _entry(folder, name)
                    if entry is not None:
                        found.append(entry)
            return found
        finally:
            os.close(folder)


def stat_mounted_file(root: str, path: str) -> FileStatus:
    """The status of a file.

    Links are followed, except a last one with an absolute target: it may lead into another mount,
    so the caller must follow it. Raises NotFound, InvalidInput.
    """
    parts = [part for part in _absolute(path).split("/") if part]
    name = os.path.basename(path.rstrip("/"))
    if not parts or parts[-1] == "..":
        with _opened(root, path) as fd:
            return _described(name, os.fstat(fd))
    with _opened(root, "/" + "/".join(parts[:-1])) as above:
        entry = _entry(above, parts[-1])
    if entry is None:
        raise NotFound(f"stat {path}: no such file or directory")
    if not entry.link or entry.link.startswith("/"):
        return entry._replace(name=name)
    with _opened(root, path) as fd:
        return _described(name, os.fstat(fd))


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise InvalidInput(f"can't make {path} relative to /")
    if "\0" in path:
        raise InvalidInput("a path contains a null byte")
    return path


@contextmanager
def _opened(root: str, path: str) -> Iterator[int]:
    """Open a path (O_PATH) for the block. Errors in the block concern `path` too."""
    relative = _absolute(path).lstrip("/") or "."
    try:
        fd = open_in_root(root, relative)
        try:
            yield fd
        finally:
            os.close(fd)
    except FileNotFoundError:
        raise NotFound(f"open {path}: no such file or directory") from None
    except OSError as error:
        error.filename = None
        raise from_os_error(error, f"open {path}") from error


def _entry(folder: int, name: str) -> FileStatus | None:
    """The status of a file itself; None if it does not exist any more."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        link = os.readlink(name, dir_fd=folder) if stat.S_ISLNK(status.st_mode) else ""
    except FileNotFoundError:
        return None
    return _described(name, status, link)


def _described(name: str, status: os.stat_result, link: str = "") -> FileStatus:
    return FileStatus(name, status, (status.st_uid, status.st_gid), link)
