"""Walks a directory in the order of fsutil's protocol: parents first, names by their bytes."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from lamina.api import filemode
from lamina.api.filesync import Stat
from lamina.base.errors import from_os_error
from lamina.system.file_metadata import KERNEL_METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.session.path_selection import Selection
    from lamina.session.validators import Validators
    from lamina.system.file_metadata import FileMetadata

_APPLE = "com.apple."
Owner = tuple[int, int]


def walk(
    root: str,
    selection: Selection | None = None,
    owner: Owner | None = None,
    validators: Validators | None = None,
    metadata: FileMetadata = KERNEL_METADATA,
) -> Iterator[Stat]:
    """The stats of the selected files below `root`, with their parents.

    All but the first of several hard links have the first one's path in `linkname`. Files that
    disappear meanwhile are left out.

    Args:
        owner: the (uid, gid) to send for every file, None for the real ones.
        validators: makes them for regular files; None: there are none.
        metadata: how the files have their metadata.

    Raises LaminaError if a selected file cannot be read.
    """
    if selection is not None and selection.everything:
        selection = None
    links: dict[tuple[int, int], str] = {}
    leading: list[tuple[str, Stat]] = []  # parents that are not sent yet, with a slash
    open_folders = [_entries(root, "")]
    while open_folders:
        entry, path = next(open_folders[-1], (None, ""))
        if entry is None:
            open_folders.pop()
            continue
        while leading and not path.startswith(leading[-1][0]):
            leading.pop()
        is_directory = entry.is_dir(follow_symlinks=False)
        taken, below = selection.classify(path, is_directory) if selection else (True, True)
        if not taken and not below:
            continue
        try:
            status = metadata.status(entry.path, entry.stat(follow_symlinks=False))
            validator = validators.of(entry.path, status) if validators and taken else ""
            found = stat_of(entry.path, path, status, owner, metadata, validator)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise from_os_error(error, "read") from error
        if is_directory and below:
            open_folders.append(_entries(entry.path, path + "/", taken))
        if not taken:
            if is_directory:
                leading.append((path + "/", found))
            continue
        for _, folder in leading:
            yield folder
        leading.clear()
        if not is_directory and not found.mode & filemode.SYMLINK and status.st_nlink > 1:
            first = links.setdefault((status.st_dev, status.st_ino), path)
            if first != path:
                found = found._replace(linkname=first)
        yield found


def stat_of(
    real: str,
    path: str,
    status: os.stat_result,
    owner: Owner | None = None,
    metadata: FileMetadata = KERNEL_METADATA,
    validator: str = "",
) -> Stat:
    """The stat of the file at `real`, under the name `path`. Only that of a regular file has the
    validator. Raises OSError."""
    mode = status.st_mode
    uid, gid = owner or (status.st_uid, status.st_gid)
    if stat.S_ISREG(mode):
        size, time = status.st_size, status.st_mtime_ns
        xattrs = _shown_xattrs(real, mode, metadata)
        return Stat(
            path, filemode.from_unix(mode), uid, gid, size, time, "", 0, 0, xattrs, validator
        )
    is_directory = stat.S_ISDIR(mode)
    # A socket is sent as an empty file, because no archive could hold it.
    wire_mode = filemode.from_unix(mode) & ~filemode.SOCKET
    linkname = os.readlink(real) if stat.S_ISLNK(mode) else ""
    major = minor = 0
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return Stat(
        path,
        wire_mode,
        uid,
        gid,
        0 if is_directory else status.st_size,
        status.st_mtime_ns,
        linkname,
        major,
        minor,
        _shown_xattrs(real, mode, metadata),
    )


def _shown_xattrs(real: str, mode: int, metadata: FileMetadata) -> tuple[tuple[str, bytes], ...]:
    found = read_xattrs(real)
    return tuple(pair for pair in found if not metadata.hides(pair[0], mode)) if found else ()


def read_xattrs(real: str) -> tuple[tuple[str, bytes], ...]:
    """The extended attributes of a file (not of a link's target), sorted; none if unsupported."""
    try:
        names = os.listxattr(real, follow_symlinks=False)
    except OSError:
        return ()
    if not names:
        return ()
    found = []
    for name in sorted(names):
        if name.startswith(_APPLE):
            continue
        try:
            found.append((name, os.getxattr(real, name, follow_symlinks=False)))
        except OSError:
            continue
    return tuple(found)


def _entries(
    folder: str, prefix: str, wanted: bool = True
) -> Iterator[tuple[os.DirEntry[str], str]]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        if not wanted and isinstance(error, PermissionError):
            return
        raise from_os_error(error, "read the directory") from error
    for entry in found:
        yield entry, prefix + entry.name
