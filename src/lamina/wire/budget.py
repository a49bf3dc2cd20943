"""Limits the memory for received data that no handler has taken as a message yet.

Flow control limits unread data per stream. It does not limit incomplete messages, which must be
read so that the rest can arrive, nor the number of streams and connections.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.wire.exchange import Exchange
    from lamina.wire.stream import Stream

MAX_CONNECTION = 64 << 20
"""The maximum number of bytes for the calls of one connection: four messages of the largest
size."""

MAX_PROCESS = 256 << 20
"""The maximum number of bytes for the calls of all connections of a process."""

SMALL = 64 << 10
"""The number of bytes that any call may hold. No call is ended for fewer."""


class ReceiveBudget:
    """Counts the bytes that connections hold, and chooses the call to end when there are too many.

    It chooses the call with the most byte-seconds: of calls that hold equally much, the one without
    progress for the longest time. So clients that send complete messages are served while others
    leave theirs incomplete.
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
        """The number of bytes of all connections."""
        return self._total

    def update(self, exchange: Exchange, held: int) -> Stream | None:
        """Set the number of bytes of a connection. Returns the call to end, if one must."""
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
"""The budget that the connections of this process share."""
