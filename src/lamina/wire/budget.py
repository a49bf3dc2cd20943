"""How much memory peers may take with what they have sent and no handler has taken as a message.

Flow control bounds what waits unread, for each stream. It does not bound half messages, which have
to be taken out of a window for their rest to come, nor the number of streams and connections.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.wire.exchange import Exchange
    from lamina.wire.stream import Stream

MAX_CONNECTION = 64 << 20
"""Bytes that the calls of one connection may hold: four messages of the largest size."""

MAX_PROCESS = 256 << 20
"""Bytes that the calls of all connections of a process may hold."""

SMALL = 64 << 10
"""Bytes that a call may hold at any time: none is ended for so few."""


class ReceiveBudget:
    """Counts what connections hold, and finds the call to end when that is too much.

    That is the call with the most byte-seconds: of calls that hold as much, the one that has made
    no progress for the longest. So a client that sends its messages whole is served while others
    leave theirs unfinished.
    """

    def __init__(
        self, max_connection: int = MAX_CONNECTION, max_process: int = MAX_PROCESS
    ) -> None:
        self._max_connection = max_connection
        self._max_process = max_process
        self._lock = threading.Lock()
        self._held: dict[Exchange, int] = {}
        self._total = 0

    @property
    def held(self) -> int:
        """Bytes, of all connections together."""
        return self._total

    def update(self, exchange: Exchange, held: int) -> Stream | None:
        """Note how many bytes a connection holds now. Returns the call to end, if one must."""
        with self._lock:
            before = self._held.pop(exchange, 0)
            self._total += held - before
            if held:
                self._held[exchange] = held
            if held <= before:
                return None
            if held > self._max_connection:
                holders = [exchange]
            elif self._total > self._max_process:
                holders = list(self._held)
            else:
                return None
        now = time.monotonic()
        weighed = [
            ((stream.held - SMALL) * max(now - stream.held_since, 0.001), stream)
            for holder in holders
            for stream in holder.open_streams()
        ]
        weight, heaviest = max(weighed, key=lambda one: one[0], default=(0.0, None))
        return heaviest if weight > 0 else None


RECEIVED = ReceiveBudget()
"""What the connections of this process share."""
