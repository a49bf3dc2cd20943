"""One HTTP/2 connection over a transport, in either role, for gRPC.

It has two threads: one reads and processes the peer's frames (`incoming`), and one sends queued
frames (`outbox`). The streams and their state are in `exchange`.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

from lamina.wire import frames as h2
from lamina.wire.exchange import Exchange
from lamina.wire.frames import ConnectionFault, ErrorCode
from lamina.wire.incoming import DRAIN_PING, KEEPALIVE_PING, Incoming

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Transport
    from lamina.wire.headers import Fields
    from lamina.wire.stream import Stream

_READ = 256 << 10
_GOODBYE = 1.0  # seconds that a closing connection has to send its last frames


class Connection:
    """Streams over one transport, which it closes.

    With `accept` it is the server: `accept` is called for each stream that the peer opens, in the
    reading thread, so it must not block. Call `start` once, and `close` at the end.
    """

    def __init__(
        self, transport: Transport, accept: Callable[[Stream, Fields], None] | None = None
    ) -> None:
        self._transport = transport
        self._exchange = Exchange(transport, server=accept is not None)
        self._incoming = Incoming(self._exchange, accept)
        self._ended = threading.Event()
        self.last_received = time.monotonic()
        self._reader = threading.Thread(target=self._run, name="wire-reader", daemon=True)

    def start(self) -> None:
        self._exchange.introduce()
        self._exchange.outbox.start()
        self._reader.start()

    @property
    def closed(self) -> bool:
        """Whether no stream can be opened any more."""
        return self._exchange.closed

    @property
    def ready(self) -> bool:
        """Whether the peer's settings have arrived."""
        return self._exchange.introduced

    @property
    def idle_since(self) -> float:
        """The time (`time.monotonic`) since when no stream has been open; infinity if one is."""
        return math.inf if self._exchange.streams else self._exchange.idle_since

    def ping(self) -> None:
        """Send a ping, which the peer must answer."""
        with self._exchange.lock:
            self._exchange.outbox.put(h2.ping_frame(KEEPALIVE_PING))

    def leave(self, reason: str) -> None:
        """End every stream, and send a GOAWAY if that is possible without waiting."""
        self._exchange.end(ErrorCode.NO_ERROR, reason)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end of the connection. Returns whether it has ended."""
        return self._ended.wait(seconds)

    def fits(self, fields: Fields) -> bool:
        """Whether the peer accepts a header block of that size."""
        return self._exchange.fits(fields)

    def open(self, fields: Fields, cancel: Cancellation | None = None) -> Stream:
        """Open a stream, when the peer accepts a further one. Raises StreamEnded, Cancelled."""
        return self._exchange.open(fields, cancel)

    def drain(self, seconds: float) -> bool:
        """As a server: accept no more streams, wait for the open ones, and close.

        Returns whether they ended in time.
        """
        exchange = self._exchange
        deadline = time.monotonic() + seconds
        with exchange.lock:
            if not exchange.closed:
                # Calls that the client has just sent are still served, until the ping is answered.
                exchange.draining = True
                exchange.outbox.put(h2.goaway_frame(h2.MAX_WINDOW, ErrorCode.NO_ERROR))
                exchange.outbox.put(h2.ping_frame(DRAIN_PING))
            while not exchange.why_ended and (
                exchange.streams or exchange.last_served == h2.MAX_WINDOW
            ):
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                exchange.changed.wait(left)
            drained = not exchange.streams
        self.close()
        return drained

    def close(self) -> None:
        """End every stream and both threads. Idempotent and thread-safe."""
        self._exchange.end(ErrorCode.NO_ERROR, "the connection was closed")
        self._exchange.outbox.join(_GOODBYE)
        self._transport.close()
        self._exchange.outbox.join(_GOODBYE)
        if threading.current_thread() is not self._reader:
            self._reader.join(_GOODBYE)

    def _run(self) -> None:
        code, reason = ErrorCode.INTERNAL_ERROR, "the connection failed"
        try:
            while data := self._transport.receive(_READ):
                self.last_received = time.monotonic()
                self._incoming.feed(data)
            code, reason = ErrorCode.NO_ERROR, "the peer closed the connection"
        except ConnectionFault as fault:
            code, reason = fault.code, str(fault)
        except OSError as error:
            code, reason = ErrorCode.NO_ERROR, f"the connection broke: {error}"
        finally:
            self._exchange.end(code, reason)
            self._exchange.outbox.join(_GOODBYE)
            self._transport.close()
            self._ended.set()
