"""Child processes of a builder that run a module of lamina, and talk to it over a socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import IO, TYPE_CHECKING

import lamina
from lamina.base.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    Stream = int | IO[bytes] | None


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
    ours, theirs = socket.socketpair()
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
