"""The mount of a step that an OCI runtime refused, and the reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

_KERNEL = ("/proc", "/sys")  # nothing can be created there
_NEEDED = ("/proc", "/dev", "/dev/null")
"""A runtime also opens files there, after all mounts are made."""


def refused_mount(complaint: str, rootfs: str, targets: Iterable[str]) -> InvalidInput | None:
    """The error message for a refused mount; None if the complaint is about something else.

    Args:
        complaint: the last line of the runtime's log.
        targets: clean absolute paths in the container.
    """
    complaint = complaint.replace('\\"', '"')
    for target in sorted(targets, key=len, reverse=True):
        if _names(complaint, rootfs, target):
            return InvalidInput(
                f"cannot mount at {target}: {_reason(complaint, target)}",
                hint="choose another target"
                if _in_kernel(target) or target in _NEEDED
                else "choose another target; a file can be mounted on a file, and a directory on a"
                " directory",
            )
    return None


def _names(complaint: str, rootfs: str, target: str) -> bool:
    """Whether a complaint names a target, a directory above it, or a path that a runtime needs in
    it."""
    if f'rootfs at "{target}"' in complaint:  # runc
        return True
    parts = target.strip("/").split("/")
    above = ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    quoted = re.findall(r"`([^`]*)`", complaint)  # crun
    if {path.removeprefix(rootfs).strip("/") for path in quoted} & set(above):
        return True
    return target in _NEEDED and re.search(rf" {re.escape(target)}[/: ]", complaint) is not None


def _reason(complaint: str, target: str) -> str:
    if _in_kernel(target):
        return f"no files or directories can be created in {target[: target.index('/', 1)]}"
    if target in _NEEDED:
        return "the container needs the files there"
    return complaint.rpartition(": ")[2].rstrip('"').lower()


def _in_kernel(target: str) -> bool:
    return target.startswith(tuple(f"{folder}/" for folder in _KERNEL))
