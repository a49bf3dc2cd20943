"""Reads files and lists directories of results, for frontends."""

from __future__ import annotations

import fnmatch
import os
import stat
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound, from_os_error
from lamina.base.named_tuple import NamedTuple
from lamina.system.regular import open_regular

if TYPE_CHECKING:
    from io import FileIO

    from lamina.refs.tree import Tree

LIMIT = 16 << 20
"""The maximum length of a read in bytes: it must fit into a message."""


class FileStatus(NamedTuple):
    """A file's name, the result of lstat, and the target if it is a symbolic link."""

    name: str
    status: os.stat_result
    owner: tuple[int, int]
    link: str = ""


def read_file(tree: Tree, path: str, offset: int = 0, length: int = 0) -> bytes:
    """Read a file, `length` bytes at most (0: all). Links are followed within the tree.

    Raises NotFound, InvalidInput (not a file, too large).
    """
    found = _find(tree, path)
    try:
        with open(open_regular(tree.real(found)), "rb", buffering=0) as file:
            return read_open_file(file, path, offset, length)
    except InvalidInput:
        raise InvalidInput(f"read {path}: not a regular file") from None
    except OSError as error:
        error.filename = None
        raise from_os_error(error, f"open {path}") from error


def read_open_file(file: FileIO, path: str, offset: int, length: int) -> bytes:
    """Like `read_file`, for an open file. Raises InvalidInput (too large), OSError."""
    file.seek(offset)
    limit = length if 0 < length <= LIMIT else LIMIT + 1
    chunks = []
    while limit and (chunk := file.read(limit)):
        chunks.append(chunk)
        limit -= len(chunk)
    data = b"".join(chunks)
    if len(data) > LIMIT:
        raise InvalidInput(f"read {path}: larger than {LIMIT >> 20} MiB")
    return data


def read_folder(tree: Tree, path: str, pattern: str = "") -> list[FileStatus]:
    """List a directory, by name; only names that match `pattern`, if there is one.

    Raises NotFound, InvalidInput (not a directory).
    """
    found = _find(tree, path)
    try:
        children = tree.children(found)
    except NotADirectoryError:
        raise InvalidInput(f"readdir {path}: not a directory") from None
    except OSError as error:
        raise from_os_error(error, f"readdir {path}") from error
    prefix = f"{found}/" if found else ""
    return [
        _status(tree, prefix + name, name, status)
        for name, status in children
        if not pattern or fnmatch.fnmatchcase(name, pattern)
    ]


def stat_file(tree: Tree, path: str) -> FileStatus:
    """The status of a file. Links in its path are followed, except the last part. Raises
    NotFound."""
    found, status = _lstat(tree, path)
    return _status(tree, found, os.path.basename(path.rstrip("/")), status)


def _find(tree: Tree, path: str) -> str:
    return _lstat(tree, path, follow=True)[0]


def _lstat(tree: Tree, path: str, *, follow: bool = False) -> tuple[str, os.stat_result]:
    try:
        return tree.find(path, follow=follow)
    except NotFound:
        raise NotFound(f"open {path}: no such file or directory") from None


def _status(tree: Tree, path: str, name: str, status: os.stat_result) -> FileStatus:
    link = os.readlink(tree.real(path)) if stat.S_ISLNK(status.st_mode) else ""
    return FileStatus(name, status, tree.owner_of(status), link)
