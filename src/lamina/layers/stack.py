"""Reads a stack of overlay directories without mounting it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from lamina.system.file_metadata import KERNEL_METADATA

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamina.system.file_metadata import FileMetadata

_OPAQUE = "opaque"
_KNOWN = 1024

Found = tuple[str, os.stat_result]


class Stack:
    """Overlay directories, lowest first, which do not change. Paths are relative, and are looked up
    without following links."""

    def __init__(self, lowers: Sequence[str], metadata: FileMetadata = KERNEL_METADATA) -> None:
        self._metadata = metadata
        self._known = {"": self._merged(reversed(lowers))}

    def find(self, path: str) -> Found | None:
        """The path on disk and the status of what is visible at a path; None if nothing is."""
        parent, _, name = path.rpartition("/")
        for folder in self._folders(parent):
            place = f"{folder}/{name}" if name else folder
            try:
                status = os.lstat(place)
            except FileNotFoundError:
                continue
            return None if is_whiteout(status) else (place, status)
        return None

    def names(self, path: str) -> set[str]:
        """The names that are visible in a directory; none if it is not a directory."""
        shown: set[str] = set()
        hidden: set[str] = set()
        for folder in self._folders(path):
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name in shown or entry.name in hidden:
                        continue
                    (hidden if marks_gone(entry) else shown).add(entry.name)
        return shown

    def _folders(self, path: str) -> Sequence[str]:
        """The directories that are merged at `path`, uppermost first."""
        missing = []
        while path not in self._known:
            path, _, name = path.rpartition("/")
            missing.append(name)
        found = self._known[path]
        while missing:
            name = missing.pop()
            path = f"{path}/{name}" if path else name
            found = self._merged(f"{folder}/{name}" for folder in found)
            if len(self._known) >= _KNOWN:
                self._known = {"": self._known[""]}
            self._known[path] = found
        return found

    def _merged(self, paths: Iterable[str]) -> tuple[str, ...]:
        """The paths, uppermost first, that are merged into one directory."""
        found = []
        for path in paths:
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                continue
            if not stat.S_ISDIR(status.st_mode):
                break
            found.append(path)
            if is_opaque(path, self._metadata):
                break
        return tuple(found)


def is_whiteout(status: os.stat_result) -> bool:
    """Whether an entry of an overlay directory is a whiteout."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(folder: str, metadata: FileMetadata) -> bool:
    """Whether a directory of an overlay directory hides the content of those below."""
    try:
        name = metadata.overlay_prefix + _OPAQUE
        return os.getxattr(folder, name, follow_symlinks=False) == b"y"
    except OSError:
        return False


def make_opaque(folder: str | int, metadata: FileMetadata) -> None:
    """Hide the content of the directories below one of an overlay directory."""
    os.setxattr(folder, metadata.overlay_prefix + _OPAQUE, b"y")


def marks_gone(entry: os.DirEntry[str]) -> bool:
    """As `is_whiteout`, with a stat only if needed."""
    plain = entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)
    return not plain and is_whiteout(entry.stat(follow_symlinks=False))
