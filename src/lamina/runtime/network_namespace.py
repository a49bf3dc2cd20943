"""Creates network namespaces that are mounted on files."""

from __future__ import annotations

import os
from contextlib import suppress

from lamina.base.errors import LaminaError, Unavailable
from lamina.system.mount import unmount
from lamina.system.process import spawn


def make_namespace(path: str) -> None:
    """Mount a new network namespace on a new file. Raises Unavailable."""
    with open(path, "xb"):
        pass
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        command = ["unshare", f"--net={path}", "true"]
        with spawn(command, stdin=null, stdout=null, stderr=null) as child:
            code = child.wait()
    finally:
        os.close(null)
    if code:
        raise Unavailable(f"cannot make a network namespace: unshare ended with {code}")


def remove_namespace(path: str) -> None:
    """Undo `make_namespace`, also if that failed."""
    with suppress(LaminaError):
        unmount(path)
    with suppress(FileNotFoundError):
        os.unlink(path)
