"""The status of a file as a message."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.api import filemode
from lamina.api.filesync import Stat

if TYPE_CHECKING:
    from lamina.engine.frontends.result_files import FileStatus


def wire_stat(entry: FileStatus) -> Stat:
    status = entry.status
    return Stat(
        path=entry.name,
        mode=filemode.from_unix(status.st_mode),
        uid=entry.owner[0],
        gid=entry.owner[1],
        size=status.st_size,
        mod_time=status.st_mtime_ns,
        linkname=entry.link,
        devmajor=os.major(status.st_rdev),
        devminor=os.minor(status.st_rdev),
    )
