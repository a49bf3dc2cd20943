"""Notifies systemd of the daemon's state (sd_notify(3)).

systemd's environment variables are removed from the environment, because OCI runtimes would act on
them too (crun would create a notify socket for the container, and fail).
"""

from __future__ import annotations

import os

_PASSED = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class Supervisor:
    """The service manager in `NOTIFY_SOCKET`, if it is set. Removes the variable."""

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")

    def notify(self, state: str) -> bool:
        """Send a state like `READY=1`. Returns whether it was sent."""
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
    """Remove systemd's variables about passed sockets, so that child processes ignore them."""
    for name in _PASSED:
        os.environ.pop(name, None)
