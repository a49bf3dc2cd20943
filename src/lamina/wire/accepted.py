"""One accepted connection of a listener: handshake and keepalive time-outs.

The times are the defaults of grpc-go's servers, which BuildKit does not change.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.wire.server import GrpcServer

HANDSHAKE = 120.0
"""Seconds that a peer has to finish TLS and to send HTTP/2's preface and SETTINGS."""

KEEPALIVE_TIME = 7200.0
"""Seconds without data from the peer after which a ping is sent."""

KEEPALIVE_TIMEOUT = 20.0
"""Seconds that the peer has to answer the ping."""


class Accepted:
    """A connected socket, and its server when the peer may be served (`server` is None before)."""

    def __init__(self, connected: socket.socket) -> None:
        self.server: GrpcServer | None = None
        self.ended = False
        self._socket = connected
        self._accepted = time.monotonic()
        self._pinged = 0.0  # when the ping was sent, 0 if none is outstanding

    @property
    def ready(self) -> bool:
        """Whether the peer has finished its part of the handshake."""
        return self.server is not None and self.server.ready

    @property
    def idle_since(self) -> float:
        """The time (`time.monotonic`) since when no call has been open; infinity if one is."""
        if self.server is None or not self.server.ready:
            return self._accepted
        return self.server.idle_since

    def check(self, now: float) -> None:
        """Close the connection if its handshake takes too long, or the peer seems to be gone."""
        if not self.ready:
            if now - self._accepted >= HANDSHAKE:
                self.end("the handshake took too long")
            return
        assert self.server is not None
        received = self.server.last_received
        if self._pinged > received:
            if now - self._pinged >= KEEPALIVE_TIMEOUT:
                self.end("the keepalive ping was not answered")
        elif now - received >= KEEPALIVE_TIME:
            self._pinged = now
            self.server.ping()

    def end(self, reason: str) -> None:
        """Send a GOAWAY if that is possible without waiting, and close the connection. Never
        blocks."""
        self.ended = True
        if self.server is not None:
            self.server.leave(reason)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
