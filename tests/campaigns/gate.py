"""A gate at which a step waits, so that the test can act while the build runs."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType


class Gate:
    """Steps connect to `address` and continue when the connection ends. Open unless `hold` is
    called."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._may_go = threading.Event()
        self._may_go.set()
        self._reached = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        host, port = self._listener.getsockname()
        self.address = f"{host}:{port}"

    def hold(self) -> None:
        """Make the next step wait."""
        self._reached.clear()
        self._may_go.clear()

    def release(self) -> None:
        self._may_go.set()

    def reached(self, seconds: float) -> bool:
        """Whether a step has arrived within a time."""
        return self._reached.wait(seconds)

    def _serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    self._reached.set()
                    self._may_go.wait(60)

    def __enter__(self) -> Gate:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        place: TracebackType | None,
    ) -> None:
        self._may_go.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
