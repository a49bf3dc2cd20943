"""Copies files and trees with all metadata, sharing blocks where the file system can."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

_FICLONE = 0x40049409
_CHUNK = 1 << 24


def clone_file(source: str, target: str) -> None:
    """Copy the bytes of a regular file to a new file: reflink, else in the kernel, else read/write.

    Holes are kept. Metadata is not copied.
    """
    with open(source, "rb") as reader, open(target, "xb") as writer:
        clone_bytes(reader.fileno(), writer.fileno())


def clone_bytes(source: int, target: int) -> None:
    """Copy between open files, from their start."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
        return
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY):
            raise
    status = os.fstat(source)
    size = status.st_size
    if status.st_blocks * 512 >= size:
        _copy_range(source, target, 0, size)
        return
    at = 0
    while at < size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # the rest is a hole
        end = os.lseek(source, start, os.SEEK_HOLE)
        _copy_range(source, target, start, end)
        at = end
    os.ftruncate(target, size)


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    at = start
    while at < end:
        try:
            done = os.copy_file_range(source, target, min(end - at, _CHUNK), at, at)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            done = os.pwrite(target, os.pread(source, min(end - at, _CHUNK), at), at)
        if done == 0:
            return  # the file became shorter meanwhile
        at += done


def copy_metadata(source: str, status: os.stat_result, target: str) -> None:
    """Give `target` the owner, extended attributes, mode and times of `source`."""
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    for name in os.listxattr(source, follow_symlinks=False):
        try:
            value = os.getxattr(source, name, follow_symlinks=False)
            os.setxattr(target, name, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.ENODATA):
                raise
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def clone_tree(source: str, target: str) -> None:
    """Copy a file or a tree to a new path, with links, hard links, devices, holes and times."""
    links: dict[tuple[int, int], str] = {}
    folders: list[tuple[str, str, os.stat_result]] = []
    todo = [(source, target, os.lstat(source))]
    while todo:
        here, there, status = todo.pop()
        if not stat.S_ISDIR(status.st_mode):
            _clone_node(here, there, status, links)
            continue
        os.mkdir(there, 0o700)
        folders.append((here, there, status))
        with os.scandir(here) as entries:
            todo.extend(
                (entry.path, os.path.join(there, entry.name), entry.stat(follow_symlinks=False))
                for entry in entries
            )
    for here, there, status in reversed(folders):
        copy_metadata(here, status, there)


def _clone_node(
    source: str, target: str, status: os.stat_result, links: dict[tuple[int, int], str]
) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if status.st_nlink > 1:
        first = links.setdefault((status.st_dev, status.st_ino), target)
        if first is not target:
            os.link(first, target, follow_symlinks=False)
            return
    if kind == stat.S_IFREG:
        clone_file(source, target)
    elif kind == stat.S_IFLNK:
        os.symlink(os.readlink(source), target)
    elif kind == stat.S_IFSOCK:
        return
    else:
        os.mknod(target, status.st_mode, status.st_rdev)
    copy_metadata(source, status, target)
