"""Validators: texts that show whether a file is the one that was sent before.

Size and time are not enough: two files, or two versions of one, can be equal in both (BuildKit
issue 4950). A client sends the inode of each file, and its ctime, which changes with each change.
Where the ctime is not reliable, it sends the digest of the content.
"""

from __future__ import annotations

import os
import stat
import time
from hashlib import file_digest, sha256

from lamina.base.errors import InvalidInput
from lamina.system.changes import at_rest, tells_of_changes
from lamina.system.regular import open_regular

DIGEST = "sha256:"


class Validators:
    """Makes the validators of the files of one directory, when their stats are sent."""

    def __init__(self, root: str) -> None:
        self._began = time.time_ns()
        device = os.stat(root).st_dev
        self._device = device if tells_of_changes(root) else None
        self._place = sha256(f"{_machine()} {device}".encode()).hexdigest()[:16]

    def of(self, real: str, status: os.stat_result) -> str:
        """The validator of the file at `real`; "" if it is not a regular file. Raises OSError."""
        if not stat.S_ISREG(status.st_mode):
            return ""
        if status.st_dev == self._device and at_rest(status, self._began):
            return f"{self._place}:{status.st_ino:x}:{status.st_ctime_ns:x}"
        try:
            fd = open_regular(real)
        except InvalidInput:  # no longer
            return ""
        with open(fd, "rb") as file:
            return DIGEST + file_digest(file, "sha256").hexdigest()


def _machine() -> str:
    """An identifier of this machine: another machine's inodes can have the same numbers."""
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return os.uname().nodename
