"""Creates network namespaces that are mounted on files."""

from __future__ import annotations

import os
from contextlib import suppress

from lamina.base.errors import LaminaError, Unavailable
from lamina.system.mount import unmount
from lamina.system.process import run_silently


def make_namespace(path: str) -> None:
    """Mount a new network namespace on a new file. Raises Unavailable."""
    with open(path, "xb"):
        pass
    code = run_silently(["unshare", f"--net={path}", "true"])
    if code:
        raise Unavailable(f"cannot make a network namespace: unshare ended with {code}")


def remove_namespace(path: str) -> None:
    """Undo `make_namespace`, also if that failed."""
    with suppress(LaminaError):
        unmount(path)
    with suppress(FileNotFoundError):
        os.unlink(path)
