"""Cached digests of files by their `stat` results, for fast scans of unchanged contexts.

A digest is used if device, inode, size, mode, mtime and ctime are equal. A user cannot set ctime,
so a file that was edited and back-dated is noticed. A file that changed within the clock's
resolution of the scan could change again unnoticed, so its digest is not cached (BuildKit issue
4950 shows what happens otherwise). Nothing is cached on file systems whose ctime does not change
with every write (`lamina.system.changes`).
"""

from __future__ import annotations

import marshal
import os
import time
from typing import TYPE_CHECKING

from lamina.system.changes import at_rest

if TYPE_CHECKING:
    from lamina.base.digest import Digest

Key = tuple[int, int, int, int, int, int]

_VERSION = 1


class StatCache:
    """A file of cached digests; `path` is "" for a cache that is not saved.

    Only digests of files on `device` are cached; None: of all files.
    """

    def __init__(self, path: str, device: int | None = None) -> None:
        self._path = path
        self._device = device
        self._entries: dict[str, tuple[Key, str]] | None = None
        self._fresh: dict[str, tuple[Key, str]] = {}
        self._began = time.time_ns()

    def get(self, name: str, status: os.stat_result) -> str | None:
        """The cached digest of a path, if the file has not changed."""
        entries = self._entries
        if entries is None:
            entries = self._entries = self._load()
        found = entries.get(name)
        if found is not None and found[0] == (
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mode,
            status.st_mtime_ns,
            status.st_ctime_ns,
        ):
            return found[1]
        return None

    def put(self, name: str, status: os.stat_result, digest: Digest) -> None:
        if self._device not in (None, status.st_dev) or not at_rest(status, self._began):
            return
        key = (
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mode,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )
        self._fresh[name] = (key, str(digest))

    def save(self) -> None:
        """Save new digests together with the old ones. Errors are ignored."""
        if not self._fresh or not self._path:
            return
        entries = {**(self._entries or {}), **self._fresh}
        temporary = f"{self._path}.{os.getpid()}"
        try:
            with open(temporary, "wb") as file:
                marshal.dump((_VERSION, entries), file)
            os.replace(temporary, self._path)
        except OSError:
            if os.path.exists(temporary):
                os.unlink(temporary)
        self._entries = entries
        self._fresh = {}

    def _load(self) -> dict[str, tuple[Key, str]]:
        if not self._path:
            return {}
        try:
            with open(self._path, "rb") as file:
                # marshal.load reads byte by byte, which takes six times as long.
                version, entries = marshal.loads(file.read())
        except (OSError, ValueError, TypeError, EOFError):
            return {}
        return entries if version == _VERSION and isinstance(entries, dict) else {}
