"""One stream of an HTTP/2 connection: bytes in both directions with flow control (RFC 9113, section
5)."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from lamina.wire.budget import SMALL
from lamina.wire.frames import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.wire.exchange import Exchange
    from lamina.wire.headers import Fields

_MANY = 1 << 14  # pieces; more are joined, so that many single bytes need few objects


class StreamEnded(Exception):
    """The stream was reset, by whom and why, or its connection is gone (`code` is None)."""

    def __init__(self, code: int | None, reason: str, *, remote: bool) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.remote = remote

    def again(self) -> StreamEnded:
        """A copy to raise: with a traceback, the stored error would keep the stream alive."""
        return StreamEnded(self.code, self.reason, remote=self.remote)


class Stream:
    """A stream. One thread may send while another receives.

    Fields and methods with an underscore belong to the exchange, whose lock guards them. `held` is
    the number of the peer's bytes that no handler has taken as complete messages. `held_since` is
    the time (`time.monotonic`) when it took the last message, or when the first bytes arrived.
    """

    __slots__ = (
        "_fault",
        "_fields",
        "_hung_up",
        "_inbox",
        "_local_ended",
        "_on_fault",
        "_owed",
        "_readable",
        "_receive_window",
        "_remote_ended",
        "_send_window",
        "_trailers",
        "_unread",
        "exchange",
        "held",
        "held_since",
        "number",
    )

    def __init__(
        self, exchange: Exchange, number: int, send_window: int, receive_window: int
    ) -> None:
        self.exchange = exchange
        self.number = number
        self.held = 0
        self.held_since = 0.0
        self._fields: Fields | None = None
        self._trailers: Fields | None = None
        self._inbox: deque[bytes] = deque()
        self._unread = 0  # bytes in the inbox
        self._owed = 0  # bytes read for which the peer has no new credit yet
        self._send_window = send_window
        self._receive_window = receive_window
        self._local_ended = False
        self._remote_ended = False
        self._hung_up = False
        self._fault: StreamEnded | None = None
        self._readable = threading.Condition(exchange.lock)
        self._on_fault: Callable[[StreamEnded], None] | None = None

    def fields(self) -> Fields:
        """The first header block. Waits for it. Raises StreamEnded."""
        with self.exchange.lock:
            while self._fields is None:
                if self._fault is not None:
                    raise self._fault.again()
                self._readable.wait()
            return self._fields

    def last_fields(self) -> Fields | None:
        """The header block that ended the stream, after `take` has returned None.

        It is the first block if that is the only one. None if the end had no headers.
        """
        with self.exchange.lock:
            if self._trailers is not None or not self._remote_ended:
                return self._trailers
            return self._fields

    def take(self, kept: int = 0) -> deque[bytes] | None:
        """All bytes that have arrived. Waits for the first ones; None at the end.

        Reading allows the peer to send more. `kept` earlier bytes are part of an incomplete
        message. Raises StreamEnded.
        """
        with self.exchange.lock:
            self.exchange.release(self, self.held - self._unread - kept)
            while not self._inbox:
                if self._remote_ended or self._hung_up:
                    return None
                if self._fault is not None:
                    raise self._fault.again()
                self._readable.wait()
            chunks, self._inbox = self._inbox, deque()
            credit, self._unread = self._unread, 0
            self.exchange.grant(self, credit)
            return chunks

    def keep(self, size: int) -> None:
        """Set the number of read bytes that are part of an incomplete message."""
        if self.held > SMALL:  # otherwise the next `take` does it
            with self.exchange.lock:
                self.exchange.release(self, self.held - self._unread - size)

    def send(self, data: bytes) -> None:
        """Send bytes. Waits for the peer's flow control. Raises StreamEnded."""
        self.exchange.send_data(self, data)

    def send_fields(self, fields: Fields, *, end: bool = False) -> None:
        """Send a header block. Raises StreamEnded."""
        self.exchange.send_fields(self, fields, end=end)

    def fits(self, fields: Fields) -> bool:
        """Whether the peer accepts a header block of that size."""
        return self.exchange.fits(fields)

    def end(self) -> None:
        """Finish sending. Idempotent."""
        self.exchange.end_stream(self)

    def hang_up(self) -> None:
        """Stop bytes in both directions: `take` returns None to waiting threads."""
        self.exchange.hang_up(self)

    def reset(self, code: ErrorCode = ErrorCode.CANCEL, reason: str = "cancelled") -> None:
        """End both directions at once, and wake waiting threads. Never blocks or raises."""
        self.exchange.reset_stream(self, code, reason)

    def watch(self, on_fault: Callable[[StreamEnded], None]) -> None:
        """Call `on_fault` when the stream ends before both sides have finished.

        It is called at once if that has happened, and otherwise in the connection's thread, so it
        must not block.
        """
        with self.exchange.lock:
            fault = self._fault
            if fault is None:
                self._on_fault = on_fault
        if fault is not None:
            on_fault(fault)

    @property
    def answered(self) -> bool:
        """Whether the peer has ended its side regularly."""
        return self._remote_ended

    @property
    def over(self) -> bool:
        """Whether both directions have ended."""
        return self._fault is not None or (self._local_ended and self._remote_ended)

    def _put(self, chunk: bytes) -> None:
        size = len(chunk)
        self._inbox.append(chunk)
        self._unread += size
        self.exchange.hold(self, size)
        if len(self._inbox) > _MANY:
            self._inbox = deque((b"".join(self._inbox),))
