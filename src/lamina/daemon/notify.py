"""Telling systemd how the daemon does (sd_notify(3)).

What systemd puts into the environment is for the daemon alone: an OCI runtime that finds it would
act on it too (crun then makes a socket of its own for the container, and fails).
"""

from __future__ import annotations

import os

_PASSED = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class Supervisor:
    """The service manager that started the daemon, if `NOTIFY_SOCKET` is set; takes it."""

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")

    def notify(self, state: str) -> bool:
        """Send a state like `READY=1`; whether it was sent."""
        if not self._address.startswith(("/", "@")):
            return False
        import socket

        address = self._address
        if address.startswith("@"):
            address = "\0" + address[1:]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            try:
                channel.sendto(state.encode(), address)
            except OSError:
                return False
        return True


def forget_passed_sockets() -> None:
    """The sockets that systemd passed are taken: nobody else is to look for them."""
    for name in _PASSED:
        os.environ.pop(name, None)
