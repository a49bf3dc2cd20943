"""The process of one container: `python -m lamina.builder.container_process ROOT FD`.

It reads a pickled `RunRequest` from the socket FD, runs the container on its own standard streams,
and writes a pickled `Outcome`.
"""

from __future__ import annotations

import socket
import sys

from lamina.base.errors import LaminaError
from lamina.builder.engine_calls import Outcome, dump, load
from lamina.client.embedded import open_builder
from lamina.system.cancel import Cancellation


def main(root: str, descriptor: int) -> None:
    with socket.socket(fileno=descriptor) as connected:
        data = b""
        while piece := connected.recv(1 << 20):
            data += piece
        try:
            with open_builder(root) as builder:
                outcome = Outcome(builder.run(load(data), Cancellation()))
        except LaminaError as error:
            outcome = Outcome(error=error)
        connected.sendall(dump(outcome))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
