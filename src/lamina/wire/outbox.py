"""The send queue of a connection, and the thread that sends it.

Callers add frames under the connection's lock. Short ones are sent at once if the socket takes them
without blocking, as waking a thread takes longer. All others are queued, and the thread sends them
together. So many small messages share one system call, and the thread that reads never waits for a
peer that does not read.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.wire.contract import Transport

_FULL = 1 << 20  # bytes in the queue above which senders of messages wait
_SHORT = 16 << 10  # bytes that the thread is sending
_FLOODED = 4 * _FULL  # answers to a peer that does not read them


class Outbox:
    """The queue of frames, and the thread. Call `put` and `finish` with `lock` held.

    `changed` is notified when there is space again. The transport is closed when the thread ends,
    which wakes its readers.
    """

    def __init__(
        self, transport: Transport, lock: threading.Lock, changed: threading.Condition
    ) -> None:
        self._transport = transport
        self._lock = lock
        self._changed = changed
        self._filled = threading.Condition(lock)
        self._idle = False
        self._pending: list[bytes | memoryview] = []
        self._size = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="wire-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def full(self) -> bool:
        return self._size >= _FULL

    def put(self, *parts: bytes | memoryview) -> None:
        """Queue bytes."""
        if self._closing:
            return
        if self._size > _FLOODED:
            self._closing = True
            self._transport.close()
        size = sum(map(len, parts))
        if self._idle and size <= _SHORT:
            data = b"".join(parts)
            sent = self._transport.send_some(data)
            if sent == size:
                return
            parts, size = (data[sent:],), size - sent
        self._pending += parts
        self._size += size
        if self._idle:
            self._idle = False
            self._filled.notify()

    def finish(self) -> None:
        """Send the queue and nothing more, then close the transport."""
        self._closing = True
        self._filled.notify()

    def join(self, seconds: float) -> None:
        """Wait for the end of the thread, after `finish` or when the transport breaks."""
        if threading.current_thread() is not self._thread:
            self._thread.join(seconds)

    def _run(self) -> None:
        try:
            while batch := self._next():
                self._transport.send(b"".join(batch))
        except OSError:
            with self._lock:
                self._closing = True
        finally:
            self._transport.close()

    def _next(self) -> list[bytes | memoryview]:
        """Everything in the queue; empty at the end."""
        with self._lock:
            while not self._pending:
                if self._closing:
                    return []
                self._idle = True
                self._filled.wait()
            self._idle = False
            batch, self._pending = self._pending, []
            if self._size >= _FULL:
                self._changed.notify_all()
            self._size = 0
            return batch
