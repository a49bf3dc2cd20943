"""Processes received frames (RFC 9113, sections 5 and 6).

The memory for a peer is limited: bytes by the windows and the `budget`, header blocks by their
size, calls by the number of streams, answers by the outbox, and streams that are opened only to be
reset by a count.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from lamina.wire import frames as h2
from lamina.wire.exchange import MAX_FRAME, MAX_HEADERS, MAX_STREAMS, STREAM_WINDOW
from lamina.wire.frames import ConnectionFault, ErrorCode, Frame, FrameReader, Setting
from lamina.wire.headers import (
    REQUEST,
    RESPONSE,
    TRAILERS,
    BlockDecoder,
    Fields,
    check_fields,
    list_size,
)
from lamina.wire.stream import Stream, StreamEnded

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.wire.exchange import Exchange

DRAIN_PING = b"\x01lamina\x01"  # its answer confirms that no further call is coming
KEEPALIVE_PING = b"\x02lamina\x02"  # any answer confirms that the peer is alive
_HELD = "unfinished messages of this and other calls take too much memory"
_RESET_BURST = 1000  # the burst of resets and refused streams, and their rate per second:
_RESETS_PER_SECOND = 50.0


class Incoming:
    """Processes the peer's bytes. `accept` is called, without the lock, for each stream that it
    opens."""

    def __init__(self, exchange: Exchange, accept: Callable[[Stream, Fields], None] | None) -> None:
        self._exchange = exchange
        self._accept = accept
        self._frames = FrameReader(MAX_FRAME, MAX_HEADERS)
        self._decoder = BlockDecoder(MAX_HEADERS)
        # bytes of it that are still missing
        self._preface = h2.PREFACE if accept is not None else b""
        self._later: list[Callable[[], None]] = []  # to call when the lock is released
        self._resets = 0.0
        self._resets_at = 0.0

    def feed(self, data: bytes) -> None:
        """Process received bytes. Raises ConnectionFault."""
        if self._preface:
            size = len(self._preface)
            if not (data.startswith(self._preface) or self._preface.startswith(data)):
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "not HTTP/2")
            self._preface, data = self._preface[len(data) :], data[size:]
        frames = self._frames.feed(data)
        touched: set[Stream] = set()
        try:
            with self._exchange.lock:
                if self._exchange.why_ended:
                    return  # no thread would end what began now
                for frame in frames:
                    if frame.type == h2.DATA:
                        stream = self._on_data(frame)
                        if stream is not None:
                            touched.add(stream)
                    else:
                        self._on_control(frame)
                for stream in touched:  # once for all frames that arrived together
                    stream._readable.notify()
                excess = self._exchange.too_much()
                if excess is not None:
                    self._later.append(partial(excess.reset, ErrorCode.ENHANCE_YOUR_CALM, _HELD))
        finally:
            actions, self._later = self._later, []
            for action in actions:
                action()

    def _on_data(self, frame: Frame) -> Stream | None:
        """Store received data. Returns the stream that can be read now."""
        exchange = self._exchange
        exchange.receive_window -= frame.size
        if exchange.receive_window < 0:
            raise ConnectionFault(
                ErrorCode.FLOW_CONTROL_ERROR, "more data than the connection's window"
            )
        stream = exchange.streams.get(frame.stream)
        if stream is None:
            self._check_known(frame)
            exchange.refund(frame.size)
            return None
        if stream._remote_ended:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, "DATA after the end of a stream")
        if stream._fields is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "DATA ahead of HEADERS")
        stream._receive_window -= frame.size
        if stream._receive_window < 0:
            raise ConnectionFault(
                ErrorCode.FLOW_CONTROL_ERROR, "more data than the stream's window"
            )
        if stream._hung_up:
            exchange.refund(frame.size)
        else:
            if frame.payload:
                stream._put(frame.payload)
            if frame.size > len(frame.payload):
                exchange.grant(stream, frame.size - len(frame.payload))
        if frame.flags & h2.END_STREAM:
            self._end_remote(stream)
        return stream

    def _on_control(self, frame: Frame) -> None:
        match frame.type:
            case h2.HEADERS:
                self._on_headers(frame)
            case h2.RST_STREAM:
                self._on_reset(frame)
            case h2.SETTINGS if not frame.flags & h2.ACK:
                self._on_settings(h2.read_settings(frame.payload))
            case h2.PING:
                self._on_ping(frame)
            case h2.GOAWAY if not self._exchange.server:
                self._on_goaway(frame)
            case h2.WINDOW_UPDATE:
                self._on_window(frame)

    def _on_headers(self, frame: Frame) -> None:
        fields = self._decoder.decode(frame.payload)  # always, because the table depends on it
        stream = self._exchange.streams.get(frame.stream)
        if stream is None:
            if self._accept is not None and frame.stream > self._exchange.last_stream:
                self._on_request(frame, fields, self._accept)
            else:
                self._check_known(frame)
            return
        if stream._remote_ended:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, "HEADERS after the end of a stream")
        ends = bool(frame.flags & h2.END_STREAM)
        try:
            self._take_fields(stream, fields, ends=ends)
        except ValueError as error:
            self._exchange.outbox.put(h2.reset_frame(stream.number, ErrorCode.PROTOCOL_ERROR))
            self._fail(stream, ErrorCode.PROTOCOL_ERROR, f"malformed headers: {error}")
            return
        if ends:
            self._end_remote(stream)
        stream._readable.notify_all()

    def _take_fields(self, stream: Stream, fields: Fields, *, ends: bool) -> None:
        """Process a response's headers, or trailers of either side."""
        if stream._fields is not None:
            check_fields(fields, TRAILERS)
            if not ends:
                raise ValueError("trailers that are not the end")
            stream._trailers = fields
            return
        check_fields(fields, RESPONSE)
        informational = dict(fields)[b":status"].startswith(b"1")
        if informational and ends:
            raise ValueError("an informational response that is the end")
        if not informational:
            stream._fields = fields

    def _on_request(
        self, frame: Frame, fields: Fields, accept: Callable[[Stream, Fields], None]
    ) -> None:
        exchange = self._exchange
        if frame.stream % 2 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client's stream of even number")
        exchange.last_stream = frame.stream
        if frame.stream > exchange.last_served:
            return  # the peer knows that
        refused: ErrorCode | None = None
        if len(exchange.streams) >= MAX_STREAMS:
            refused = ErrorCode.REFUSED_STREAM
        try:
            check_fields(fields, REQUEST)
        except ValueError:
            refused = ErrorCode.PROTOCOL_ERROR
        if refused is not None:
            self._count_reset()
            exchange.outbox.put(h2.reset_frame(frame.stream, refused))
            return
        stream = Stream(exchange, frame.stream, exchange.peer_window, STREAM_WINDOW)
        stream._fields = fields
        exchange.hold(stream, list_size(fields))
        stream._remote_ended = bool(frame.flags & h2.END_STREAM)
        exchange.streams[frame.stream] = stream
        self._later.append(lambda: accept(stream, fields))

    def _on_reset(self, frame: Frame) -> None:
        stream = self._exchange.streams.get(frame.stream)
        if stream is None:
            self._check_known(frame)
            return
        if self._exchange.server:
            self._count_reset()
        if not stream._remote_ended:
            self._exchange.drop_unread(stream)
        self._fail(stream, h2.read_number(frame.payload), "the peer ended the stream")

    def _on_settings(self, settings: dict[int, int]) -> None:
        exchange = self._exchange
        exchange.introduced = True
        window = settings.get(Setting.INITIAL_WINDOW_SIZE, exchange.peer_window)
        for stream in exchange.streams.values():
            stream._send_window += window - exchange.peer_window
            if stream._send_window > h2.MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window beyond 2^31-1")
        exchange.peer_window = window
        exchange.peer_frame = min(
            settings.get(Setting.MAX_FRAME_SIZE, exchange.peer_frame), MAX_FRAME
        )
        exchange.peer_streams = settings.get(Setting.MAX_CONCURRENT_STREAMS, h2.MAX_WINDOW)
        exchange.peer_headers = settings.get(Setting.MAX_HEADER_LIST_SIZE, exchange.peer_headers)
        exchange.outbox.put(h2.SETTINGS_ACK)
        exchange.changed.notify_all()

    def _on_ping(self, frame: Frame) -> None:
        exchange = self._exchange
        if not frame.flags & h2.ACK:
            exchange.outbox.put(h2.ping_frame(frame.payload, ack=True))
        elif frame.payload == DRAIN_PING and exchange.draining:
            exchange.last_served = exchange.last_stream
            exchange.outbox.put(h2.goaway_frame(exchange.last_served, ErrorCode.NO_ERROR))
            exchange.changed.notify_all()

    def _on_goaway(self, frame: Frame) -> None:
        exchange = self._exchange
        last, code, reason = h2.read_goaway(frame.payload)
        exchange.draining = True
        why = (
            f"the peer is going away (error {code}): {reason}"
            if code
            else "the peer closes the connection"
        )
        for stream in [stream for number, stream in exchange.streams.items() if number > last]:
            self._fail(stream, ErrorCode.REFUSED_STREAM, why)
        exchange.changed.notify_all()
        if not exchange.streams:
            exchange.outbox.finish()

    def _on_window(self, frame: Frame) -> None:
        exchange = self._exchange
        credit = h2.read_number(frame.payload)
        if credit == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a window grows by nothing")
        if frame.stream == 0:
            window = exchange.send_window = exchange.send_window + credit
        else:
            stream = exchange.streams.get(frame.stream)
            if stream is None:
                self._check_known(frame)
                return
            window = stream._send_window = stream._send_window + credit
        if window > h2.MAX_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window beyond 2^31-1")
        exchange.changed.notify_all()

    def _end_remote(self, stream: Stream) -> None:
        stream._remote_ended = True
        self._exchange.settle(stream)
        if not self._exchange.server:
            self._exchange.changed.notify_all()  # the peer sends to a stream without a reader

    def _fail(self, stream: Stream, code: int, reason: str) -> None:
        watcher = self._exchange.fail(stream, StreamEnded(code, reason, remote=True))
        if watcher is not None:
            self._later.append(watcher)

    def _check_known(self, frame: Frame) -> None:
        """Check a frame for a stream that is not open: a closed one is valid, an idle one is
        not."""
        if frame.stream > self._exchange.last_stream or frame.stream % 2 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame on a stream never opened")

    def _count_reset(self) -> None:
        now = time.monotonic()
        forgiven = (now - self._resets_at) * _RESETS_PER_SECOND
        self._resets = max(0.0, self._resets - forgiven) + 1
        self._resets_at = now
        if self._resets > _RESET_BURST:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many streams were reset")
