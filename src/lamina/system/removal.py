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
    """Remove what is at a path and all below it; nothing being there is fine.

    Depth and the length of paths do not matter, no link is followed, and nothing of another file
    system that is mounted below is touched. Goes on after what cannot be removed, and raises the
    first such OSError in the end.
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
    """`remove_tree` as far as that is possible."""
    with suppress(OSError):
        remove_tree(path)


@contextmanager
def temporary_folder(prefix: str) -> Iterator[str]:
    """A folder of this user's alone, in the system's place for such, gone after the block."""
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
        """Remove what is in the present directory. Raises OSError if the way up is lost."""
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
