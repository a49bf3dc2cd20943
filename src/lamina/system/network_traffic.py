"""The traffic of a network namespace."""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import suppress

_CLONE_NEWNET = 0x40000000
_LOOPBACK = "lo"
_SENT = 8  # the place of the sent bytes among the numbers of a device, after those received


def network_traffic(namespace: str) -> tuple[int, int] | None:
    """The bytes that a network namespace has sent and received, without its loopback device.

    A thread enters the namespace, reads `net/dev` of proc(5), and ends.

    Args:
        namespace: the path of the namespace.

    Returns None if the namespace cannot be read.
    """
    found: list[tuple[int, int]] = []
    thread = threading.Thread(target=_read, args=(namespace, found), name="network traffic")
    thread.start()
    thread.join()
    return found[0] if found else None


def _read(namespace: str, found: list[tuple[int, int]]) -> None:
    with suppress(OSError, ValueError, IndexError):
        fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None).setns(fd, _CLONE_NEWNET):
                return
        finally:
            os.close(fd)
        with open("/proc/thread-self/net/dev", encoding="ascii") as file:
            found.append(parse_devices(file.read()))


def parse_devices(text: str) -> tuple[int, int]:
    """The bytes sent and received, from the text of `/proc/net/dev`. Raises ValueError."""
    sent = received = 0
    for line in text.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        if name.strip() != _LOOPBACK:
            counts = numbers.split()
            received += int(counts[0])
            sent += int(counts[_SENT])
    return sent, received
