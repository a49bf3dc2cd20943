"""Resources that campaigns may leave on the machine: processes, mounts, control groups, files."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.e2e.test_faults import cgroups_of, processes_with

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["cgroups_of", "clear", "mounts_below", "processes_with", "soon"]


def mounts_below(folder: Path) -> list[str]:
    """The mount points at or below a directory, the innermost first."""
    with open("/proc/self/mountinfo") as file:
        points = [line.split(" ")[4].replace("\\040", " ") for line in file]
    return [point for point in points[::-1] if f"{point}/".startswith(f"{folder}/")]


def soon(holds: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether a condition becomes true within a time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def clear(folder: Path) -> None:
    """Remove a directory, whatever a stopped campaign has left in it.

    Only processes whose command line names the directory are ended.
    """
    for pid in processes_with(f"{folder}/"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for point in mounts_below(folder):
        subprocess.run(["umount", "-l", point], check=False, capture_output=True)
    subprocess.run(["rm", "-rf", str(folder)], check=False)
