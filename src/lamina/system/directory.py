"""Creates directories with an exact mode, whatever the umask of the process is."""

from __future__ import annotations

import os


def make_directory(path: str, mode: int = 0o755, *, dir_fd: int | None = None) -> None:
    """mkdir(2) and chmod(2), for directories that a step or an image can see. Raises OSError."""
    os.mkdir(path, 0o700, dir_fd=dir_fd)
    os.chmod(path, mode, dir_fd=dir_fd)
