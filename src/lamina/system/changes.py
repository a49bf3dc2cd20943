"""Detects from `stat` results whether a file has changed."""

from __future__ import annotations

import os

# tmpfs keeps the ctime of files that are written through a shared mapping. Over a network (nfs,
# cifs, 9p, virtiofs), through fuse and in an overlay, times come from another file system, late or
# never.
_TELLING = frozenset((b"ext2", b"ext3", b"ext4", b"xfs", b"btrfs", b"f2fs"))
_GRAIN = 50_000_000  # ns; ext4 and xfs stamp with the timer tick, at most 10 ms
_COARSE_GRAIN = 2_100_000_000  # for file systems that keep whole seconds


def tells_of_changes(path: str) -> bool:
    """Whether the file system of a directory updates the ctime with each change."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            with open(f"/proc/self/fdinfo/{fd}", "rb") as info:
                mount = next(line.split()[1] for line in info if line.startswith(b"mnt_id:"))
        finally:
            os.close(fd)
        with open("/proc/self/mountinfo", "rb") as mounts:
            for line in mounts:
                if line.startswith(mount + b" "):
                    return line.partition(b" - ")[2].split(b" ", 1)[0] in _TELLING
    except (OSError, StopIteration):
        pass
    return False


def at_rest(status: os.stat_result, now: int) -> bool:
    """Whether a file that changes after `now` (ns since 1970) gets a different ctime.

    It may not if its last change is within the clock's resolution of `now`.
    """
    newest = max(status.st_mtime_ns, status.st_ctime_ns)
    grain = _GRAIN if status.st_ctime_ns % 1_000_000_000 else _COARSE_GRAIN
    return newest + grain <= now
