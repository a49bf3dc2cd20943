"""Removes directory trees, whatever a step, a layer or a client left in them."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lamina.system.descent import Descent

if TYPE_CHECKING:
    from collections.abc import Iterator


def remove_tree(path: str, *, dir_fd: int | None = None) -> None:
    """Remove what is at a path and everything below it, if it exists.

    Depth and path length are not limited, no link is followed, and file systems that are mounted
    below are not touched. Goes on after an error, and raises the first OSError at the end.
    """
    try:
        os.unlink(path, dir_fd=dir_fd)
        return
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        # Linux says EISDIR for a directory; POSIX allows EPERM.
        if not stat.S_ISDIR(os.lstat(path, dir_fd=dir_fd).st_mode):
            raise
    removal = _Removal()
    with Descent(path, dir_fd=dir_fd) as descent:
        removal.empty(descent)
    removal.rmdir(path, dir_fd)
    if removal.failure is not None:
        raise removal.failure


def discard_tree(path: str) -> None:
    """`remove_tree`, ignoring errors."""
    with suppress(OSError):
        remove_tree(path)


@contextmanager
def temporary_folder(prefix: str) -> Iterator[str]:
    """A temporary directory of this user only, removed after the block."""
    import tempfile

    folder = tempfile.mkdtemp(prefix=prefix)
    try:
        yield folder
    finally:
        discard_tree(folder)


class _Removal:
    def __init__(self) -> None:
        self.failure: OSError | None = None

    def empty(self, descent: Descent) -> None:
        """Remove the content of the current directory. Raises OSError if its parent is lost."""
        device = os.fstat(descent.fd).st_dev
        names: list[str] = []
        left = [self._unlink_files(descent.fd)]
        while left:
            if left[-1]:
                name = left[-1].pop()
                if self._enter(descent, name, device):
                    names.append(name)
                    left.append(self._unlink_files(descent.fd))
                continue
            left.pop()
            if names:
                descent.leave()
                self.rmdir(names.pop(), descent.fd)

    def rmdir(self, name: str, dir_fd: int | None) -> None:
        try:
            os.rmdir(name, dir_fd=dir_fd)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._note(error)

    def _enter(self, descent: Descent, name: str, device: int) -> bool:
        try:
            if os.lstat(name, dir_fd=descent.fd).st_dev != device:
                raise OSError(errno.EBUSY, "another file system is mounted there", name)
            descent.enter(name)
        except FileNotFoundError:
            return False
        except OSError as error:
            self._note(error)
            return False
        return True

    def _unlink_files(self, folder: int) -> list[str]:
        """Remove all but the directories; returns their names."""
        directories = []
        try:
            with os.scandir(folder) as scanned:
                entries = list(scanned)
        except OSError as error:
            self._note(error)
            return []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
                continue
            try:
                os.unlink(entry.name, dir_fd=folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._note(error)
        return directories

    def _note(self, error: OSError) -> None:
        self.failure = self.failure or error
