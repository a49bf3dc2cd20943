"""Small file systems that fill up."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def small_disk(kind: str, size: int, folder: Path) -> Iterator[Path]:
    """A file system with a number of bytes, `tmpfs` or `ext4`, mounted at `folder/disk`."""
    disk = folder / "disk"
    disk.mkdir()
    if kind == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    else:
        with open(folder / "image", "wb") as file:
            file.truncate(size)
        subprocess.run(["mkfs.ext4", "-q", "-m0", str(folder / "image")], check=True)
        command = ["mount", "-o", "loop", str(folder / "image"), str(disk)]
    subprocess.run(command, check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def free(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize


class Filler:
    """A file beside the store that occupies space; the `with` block frees it at its end."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._path = disk / "filler"
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def leave(self, room: int) -> None:
        """Occupy all space but a number of bytes, as far as possible."""
        with suppress(OSError), self._path.open("ab", buffering=0) as file:
            while (more := free(self._disk) - room) > 0:
                file.write(bytes(min(more, 1 << 20)))

    def leave_later(self, room: int, seconds: float) -> None:
        """The same after a while, repeatedly, concurrently with other work."""

        def fill() -> None:
            if not self._stop.wait(seconds):
                while not self._stop.wait(0.02):
                    self.leave(room)

        self._thread = threading.Thread(target=fill, daemon=True)
        self._thread.start()

    def __enter__(self) -> Filler:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(FileNotFoundError):
            self._path.unlink()


def wait_for_room(disk: Path, size: int, seconds: float = 30) -> bool:
    """Whether a number of bytes becomes free within a time, for example when a daemon prunes."""
    deadline = time.monotonic() + seconds
    while free(disk) < size:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def little(chance: random.Random, most: int) -> int:
    """A number of bytes up to `most`, of any magnitude; often none."""
    return 0 if chance.random() < 0.25 else int(most ** chance.random())
