"""A directory listing with the content of only some files: `local.metadatatransfer` of LLB.

Files that match patterns are transferred as usual. Of all others only the metadata is, in one file
at the top: for each the length of its stat (four bytes, little-endian) and the stat in fsutil's
format.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.api import filemode
from lamina.api.filesync import stat_bytes
from lamina.base.patterns import PatternMatcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.api.filesync import Stat

LISTING = ".fsutil-metadata"
_MODE = 0o644


class Listing:
    """Collects the stats that are received, and selects those to create.

    Args:
        wanted: patterns of the files whose content is requested. Raises InvalidInput for a
            malformed one.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        self._wanted = PatternMatcher(wanted)
        self._parents: list[Stat] = []  # not created yet
        self._lines: list[bytes] = []

    def take(self, stat: Stat) -> list[Stat]:
        """The files to create now: none, or a file after its missing parents."""
        if stat.path == LISTING:
            return []  # a file of the client with this name would be mistaken for the list
        line = stat_bytes(stat)
        self._lines.append(len(line).to_bytes(4, "little") + line)
        while self._parents and not stat.path.startswith(f"{self._parents[-1].path}/"):
            self._parents.pop()
        if self._wanted.matches(stat.path):
            made, self._parents = [*self._parents, stat], []
            return made
        if stat.mode & filemode.DIRECTORY:
            self._parents.append(stat)
        return []

    def write(self, folder: int) -> None:
        """Write the list into an open directory without a file of this name. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(LISTING, flags, _MODE, dir_fd=folder), "wb") as file:
            file.writelines(self._lines)
