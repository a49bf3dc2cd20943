"""Telling systemd how the daemon does (sd_notify(3))."""

from __future__ import annotations

import os


def notify(state: str) -> bool:
    """Send a state like `READY=1` to the supervisor, if there is one; whether it was sent."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    import socket

    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto(state.encode(), address)
        except OSError:
            return False
    return True
