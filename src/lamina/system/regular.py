"""Opens regular files of images, contexts and layouts, where anything may be at their path."""

from __future__ import annotations

import os
import stat

from lamina.base.errors import InvalidInput
from lamina.system.beneath import Beneath


def open_regular(path: str, *, dir_fd: int | None = None, follow: bool = False) -> int:
    """Open a regular file for reading. Never blocks, and never opens anything else.

    With `follow`, a link is followed. Raises OSError; InvalidInput if it is not a regular file.
    """
    flags = os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    found = os.open(path, flags, dir_fd=dir_fd)
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise InvalidInput(f"{path} is not a regular file")
        return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(found)


def read_regular(
    path: str, limit: int, *, dir_fd: int | None = None, follow: bool = False
) -> bytes:
    """Read a file that `open_regular` opens. Raises InvalidInput also if it has more than `limit`
    bytes."""
    with open(open_regular(path, dir_fd=dir_fd, follow=follow), "rb", buffering=0) as file:
        data = bytearray()
        while len(data) <= limit and (chunk := file.read(min(1 << 20, limit + 1 - len(data)))):
            data += chunk
    if len(data) > limit:
        raise InvalidInput(f"{path} is larger than {limit} bytes")
    return bytes(data)


def open_regular_beneath(root: str, path: str) -> int:
    """As `open_regular`, for a relative path below a directory, without following links."""
    folder, _, name = path.rpartition("/")
    with Beneath(root) as beneath:
        try:
            return open_regular(name, dir_fd=beneath.directory(folder))
        except InvalidInput:
            raise InvalidInput(f"{os.path.join(root, path)} is not a regular file") from None
        except OSError as error:
            error.filename = os.path.join(root, path)
            raise
