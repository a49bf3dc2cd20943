"""Child processes of a builder that run a module of lamina, and talk to it over a socket."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from typing import IO, TYPE_CHECKING

import lamina
from lamina.base.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    Stream = int | IO[bytes] | None

_STANDARD = 2
"""The highest descriptor of the standard streams."""


def start_module(
    module: str,
    root: str,
    *,
    stdin: Stream,
    stdout: Stream,
    stderr: Stream = None,
    own_session: bool = False,
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Run `python -m MODULE ROOT FD`. Returns the process, and the other end of its socket FD.

    Args:
        own_session: whether Ctrl-C in a terminal does not reach it.

    Raises InvalidInput if this Python has no executable, Unavailable.
    """
    if not sys.executable:
        raise InvalidInput(
            "this Python has no executable to run the engine with",
            hint="connect to a daemon: lamina.connect('unix:///path/of/socket')",
        )
    source = os.path.dirname(os.path.dirname(os.path.abspath(lamina.__file__)))
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH", ""))))
    try:
        ours, theirs = map(_above_standard, socket.socketpair())
    except OSError as error:
        raise Unavailable(f"start {module}: {error}") from error
    with theirs:
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", module, root, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=own_session,
                env={**os.environ, "PYTHONPATH": path},
            )
        except OSError as error:
            ours.close()
            raise Unavailable(f"start {module}: {error}") from error
    return process, ours


def _above_standard(connected: socket.socket) -> socket.socket:
    """The socket, with a number that is not one of the standard streams.

    A daemon may have closed these: then a new socket gets their numbers.
    """
    if connected.fileno() > _STANDARD:
        return connected
    with connected:
        return socket.socket(fileno=fcntl.fcntl(connected, fcntl.F_DUPFD_CLOEXEC, _STANDARD + 1))
