"""One HTTP/2 connection over a transport, in either role (RFC 9113), as gRPC uses it.

Two threads: one reads, parses and hands out; one sends (`outbox`). A lock guards all state, and
nobody waits for the peer while holding it. What a peer can make us keep is bounded: bytes by the
windows, header blocks by their size, calls by the number of streams, answers by the outbox.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from lamina.wire import frames as h2
from lamina.wire.frames import ConnectionFault, ErrorCode, Frame, FrameReader, Setting
from lamina.wire.headers import (
    REQUEST,
    RESPONSE,
    TRAILERS,
    BlockDecoder,
    Fields,
    check_fields,
    encode_block,
    list_size,
)
from lamina.wire.outbox import Outbox
from lamina.wire.stream import Stream, StreamEnded

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Transport

STREAM_WINDOW = 2 << 20  # bytes that a stream may send ahead of its reader
CONNECTION_WINDOW = 64 << 20  # and all streams of a connection together
MAX_STREAMS = 512
MAX_FRAME = 256 << 10
MAX_HEADERS = 1 << 20  # filters of a context, details of an error: they travel in headers
_READ = 256 << 10
_GOODBYE = 1.0  # seconds that a closing connection gives its last words
_DRAIN_PING = b"\x01lamina\x01"
_MISDEEDS = 1000  # resets and refused streams at once; and this many a second for ever:
_MISDEEDS_A_SECOND = 50.0


class Connection:
    """Streams over one transport. `accept` makes it the server: called for each stream opened.

    Call `start` once, and `close` in the end.
    """

    def __init__(
        self,
        transport: Transport,
        accept: Callable[[Stream, Fields], None] | None = None,
        ended: Callable[[], None] | None = None,
    ) -> None:
        self.lock = threading.Lock()
        self._transport = transport
        self._accept = accept
        self._when_ended = ended
        self._changed = threading.Condition(self.lock)
        self._outbox = Outbox(transport, self.lock, self._changed)
        self._decoder = BlockDecoder(MAX_HEADERS)
        self._streams: dict[int, Stream] = {}
        self._last_stream = 0  # the highest number that the client has used
        self._send_window = h2.INITIAL_WINDOW
        self._receive_window = CONNECTION_WINDOW
        self._owed = 0
        self._peer_window = h2.INITIAL_WINDOW
        self._peer_frame = h2.MIN_FRAME_SIZE
        self._peer_streams = 100  # until its settings come, which need not say
        self._peer_headers = MAX_HEADERS
        self._draining = False
        self._last_served = h2.MAX_WINDOW
        self._misdeeds = 0.0
        self._misdeeds_at = 0.0
        self._why = ""  # it ended, once it has
        self._ended = threading.Event()
        self._reader = threading.Thread(target=self._run, name="wire-reader", daemon=True)

    # The connection as its owner sees it

    def start(self) -> None:
        settings = [
            (Setting.INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (Setting.MAX_FRAME_SIZE, MAX_FRAME),
            (Setting.MAX_HEADER_LIST_SIZE, MAX_HEADERS),
        ]
        if self._accept is None:
            settings.append((Setting.ENABLE_PUSH, 0))
        else:
            settings.append((Setting.MAX_CONCURRENT_STREAMS, MAX_STREAMS))
        with self.lock:
            self._outbox.put(
                b"" if self._accept else h2.PREFACE,
                h2.settings_frame(settings),
                h2.window_frame(0, CONNECTION_WINDOW - h2.INITIAL_WINDOW),
            )
        self._outbox.start()
        self._reader.start()

    @property
    def closed(self) -> bool:
        """Whether no stream can be opened any more."""
        return self._draining or bool(self._why)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end. Returns whether it came."""
        return self._ended.wait(seconds)

    def open(self, fields: Fields, cancel: Cancellation | None = None) -> Stream:
        """Open a stream, when the peer has room for one more. Raises StreamEnded, Cancelled."""
        block = encode_block(fields)
        if cancel is None:
            return self._open(fields, block)
        with cancel.calling(self._wake):
            return self._open(fields, block, cancel)

    def drain(self, seconds: float) -> bool:
        """As a server: take no more calls, wait for those that run, close.

        Returns whether they ended in time.
        """
        deadline = time.monotonic() + seconds
        with self.lock:
            if not self.closed:
                # Calls on their way are still served: the ping's answer says that none is left.
                self._draining = True
                self._outbox.put(h2.goaway_frame(h2.MAX_WINDOW, ErrorCode.NO_ERROR))
                self._outbox.put(h2.ping_frame(_DRAIN_PING))
            while not self._why and (self._streams or self._last_served == h2.MAX_WINDOW):
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            drained = not self._streams
        self.close()
        return drained

    def close(self) -> None:
        """End every stream and both threads. May be called twice, and from any thread."""
        self._end(ErrorCode.NO_ERROR, "the connection was closed")
        self._outbox.join(_GOODBYE)
        self._transport.close()
        self._outbox.join(_GOODBYE)
        if threading.current_thread() is not self._reader:
            self._reader.join(_GOODBYE)

    # What streams ask of it

    def grant(self, stream: Stream, size: int) -> None:
        """Let the peer send what has been taken. The lock is held."""
        self._refund(size)
        stream._owed += size
        if stream._owed >= STREAM_WINDOW // 4 and not stream._remote_ended:
            self._outbox.put(h2.window_frame(stream.number, stream._owed))
            stream._receive_window += stream._owed
            stream._owed = 0

    def send_data(self, stream: Stream, data: bytes) -> None:
        outbox, size, at = self._outbox, len(data), 0
        with self.lock:
            while at < size:
                self._check_sending(stream)
                if stream._hung_up:
                    raise StreamEnded(None, "the call was hung up", remote=False)
                room = min(size - at, stream._send_window, self._send_window, self._peer_frame)
                if room <= 0 or outbox.full:
                    self._changed.wait()
                    continue
                piece = data if room == size else memoryview(data)[at : at + room]
                outbox.put(h2.head(room, h2.DATA, 0, stream.number), piece)
                stream._send_window -= room
                self._send_window -= room
                at += room

    def send_fields(self, stream: Stream, fields: Fields, *, end: bool) -> None:
        block = encode_block(fields)
        with self.lock:
            self._check_sending(stream)
            self._outbox.put(
                h2.header_frames(stream.number, block, end=end, max_frame=self._peer_frame)
            )
            if end:
                stream._local_ended = True
                self._settle(stream)

    def fits(self, fields: Fields) -> bool:
        """Whether the peer takes a header block of that size."""
        return list_size(fields) <= self._peer_headers

    def end_stream(self, stream: Stream) -> None:
        with self.lock:
            if stream._local_ended or stream._fault is not None:
                return
            self._outbox.put(h2.head(0, h2.DATA, h2.END_STREAM, stream.number))
            stream._local_ended = True
            self._settle(stream)
            self._changed.notify_all()

    def hang_up(self, stream: Stream) -> None:
        with self.lock:
            stream._hung_up = True
            self._drop_unread(stream)
            stream._readable.notify_all()
            self._changed.notify_all()

    def reset_stream(self, stream: Stream, code: ErrorCode, reason: str) -> None:
        with self.lock:
            if not stream.over:
                self._outbox.put(h2.reset_frame(stream.number, code))
                self._fail(stream, StreamEnded(code, reason, remote=False))
            self._drop_unread(stream)

    # Inside

    def _wake(self) -> None:
        with self.lock:
            self._changed.notify_all()

    def _open(self, fields: Fields, block: bytes, cancel: Cancellation | None = None) -> Stream:
        with self.lock:
            while True:
                if self.closed or self._last_stream >= h2.MAX_WINDOW - 2:
                    raise StreamEnded(None, self._why or "the peer takes no more", remote=True)
                if cancel is not None:
                    cancel.check()
                if len(self._streams) < self._peer_streams:
                    break
                self._changed.wait()
            number = self._last_stream + 2 if self._last_stream else 1
            self._last_stream = number
            stream = Stream(self, number, self._peer_window, STREAM_WINDOW)
            self._streams[number] = stream
            self._outbox.put(h2.header_frames(number, block, end=False, max_frame=self._peer_frame))
            return stream

    def _check_sending(self, stream: Stream) -> None:
        if stream._fault is not None:
            raise stream._fault
        if stream._local_ended:
            raise StreamEnded(None, "sending has been finished", remote=False)
        if self._accept is None and stream._remote_ended:  # a call is over with its answer
            raise StreamEnded(ErrorCode.NO_ERROR, "the peer has ended the call", remote=True)

    def _refund(self, size: int) -> None:
        self._owed += size
        if self._owed >= CONNECTION_WINDOW // 8:
            self._outbox.put(h2.window_frame(0, self._owed))
            self._receive_window += self._owed
            self._owed = 0

    def _drop_unread(self, stream: Stream) -> None:
        stream._inbox.clear()
        self._refund(stream._unread)
        stream._unread = 0

    def _fail(self, stream: Stream, fault: StreamEnded) -> Callable[[], None] | None:
        """End a stream with a fault; returns what to call when the lock is free."""
        stream._fault = fault
        self._streams.pop(stream.number, None)
        stream._readable.notify_all()
        self._changed.notify_all()
        watcher, stream._on_fault = stream._on_fault, None
        if watcher is None or not fault.remote:
            return None
        return lambda: watcher(fault)

    def _settle(self, stream: Stream) -> None:
        """One side has ended: forget the stream when both have."""
        if stream._local_ended and stream._remote_ended:
            self._streams.pop(stream.number, None)
            stream._on_fault = None
            self._changed.notify_all()
            if self._draining and self._accept is None and not self._streams:
                self._outbox.finish()

    def _end(self, code: ErrorCode, reason: str) -> None:
        """Fail what is open and send no more than a farewell. Only the first call counts."""
        with self.lock:
            if self._why:
                return
            self._why = reason
            last = self._last_stream if self._accept else 0
            self._outbox.put(h2.goaway_frame(last, code, reason if code else ""))
            fault = StreamEnded(None, reason, remote=True)
            watchers = [self._fail(stream, fault) for stream in list(self._streams.values())]
            self._changed.notify_all()
            self._outbox.finish()
        for watcher in watchers:
            if watcher is not None:
                watcher()

    def _run(self) -> None:
        code, reason = ErrorCode.NO_ERROR, "the peer closed the connection"
        try:
            rest = self._read_preface() if self._accept is not None else b""
            reader = FrameReader(MAX_FRAME, MAX_HEADERS)
            while data := rest or self._transport.receive(_READ):
                rest = b""
                self._handle(reader.feed(data))
        except ConnectionFault as fault:
            code, reason = fault.code, str(fault)
        except OSError as error:
            reason = f"the connection broke: {error}"
        finally:
            self._end(code, reason)
            self._outbox.join(_GOODBYE)
            self._transport.close()
            self._ended.set()
            if self._when_ended is not None:
                self._when_ended()

    def _read_preface(self) -> bytes:
        data = b""
        while len(data) < len(h2.PREFACE):
            piece = self._transport.receive(_READ)
            if not piece:
                return b""
            data += piece
            if data[: len(h2.PREFACE)] != h2.PREFACE[: len(data)]:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "not HTTP/2")
        return data[len(h2.PREFACE) :]

    def _handle(self, received: list[Frame]) -> None:
        later: list[Callable[[], None] | None] = []
        touched: set[Stream] = set()
        try:
            with self.lock:
                for frame in received:
                    if frame.type == h2.DATA:
                        stream = self._on_data(frame)
                        if stream is not None:
                            touched.add(stream)
                    else:
                        self._on_control(frame, later)
                for stream in touched:
                    stream._readable.notify()
        finally:
            for action in later:
                if action is not None:
                    action()

    def _on_control(self, frame: Frame, later: list[Callable[[], None] | None]) -> None:
        match frame.type:
            case h2.HEADERS:
                later.append(self._on_headers(frame))
            case h2.RST_STREAM:
                later.append(self._on_reset(frame))
            case h2.SETTINGS if not frame.flags & h2.ACK:
                self._on_settings(h2.read_settings(frame.payload))
            case h2.PING:
                self._on_ping(frame)
            case h2.GOAWAY if self._accept is None:
                later += self._on_goaway(frame)
            case h2.WINDOW_UPDATE:
                self._on_window(frame)

    def _on_data(self, frame: Frame) -> Stream | None:
        self._receive_window -= frame.size
        if self._receive_window < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more than was allowed")
        stream = self._streams.get(frame.stream)
        if stream is None:
            self._check_known(frame)
            self._refund(frame.size)
            return None
        if stream._remote_ended:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, "DATA after the end of a stream")
        if stream._fields is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "DATA ahead of HEADERS")
        stream._receive_window -= frame.size
        if stream._receive_window < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more than a stream was allowed")
        if stream._hung_up:
            self._refund(frame.size)
        elif frame.payload:
            stream._put(frame.payload)
        if frame.size > len(frame.payload) and not stream._hung_up:
            self.grant(stream, frame.size - len(frame.payload))
        if frame.flags & h2.END_STREAM:
            self._end_remote(stream)
        return stream

    def _end_remote(self, stream: Stream) -> None:
        stream._remote_ended = True
        self._settle(stream)
        if self._accept is None:
            self._changed.notify_all()  # who still sends has no reader

    def _on_headers(self, frame: Frame) -> Callable[[], None] | None:
        fields = self._decoder.decode(frame.payload)  # always: the table depends on it
        stream = self._streams.get(frame.stream)
        if stream is None:
            if self._accept is not None and frame.stream > self._last_stream:
                return self._on_request(frame, fields, self._accept)
            self._check_known(frame)
            return None
        if stream._remote_ended:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, "HEADERS after the end of a stream")
        ends = bool(frame.flags & h2.END_STREAM)
        try:
            if stream._fields is not None:
                check_fields(fields, TRAILERS)
                if not ends:
                    raise ValueError("trailers that are not the end")
                stream._trailers = fields
            else:
                check_fields(fields, RESPONSE)
                if dict(fields)[b":status"][:1] == b"1" and not ends:
                    return None  # informational
                stream._fields = fields
        except ValueError as error:
            self._outbox.put(h2.reset_frame(stream.number, ErrorCode.PROTOCOL_ERROR))
            reason = f"malformed headers: {error}"
            return self._fail(stream, StreamEnded(ErrorCode.PROTOCOL_ERROR, reason, remote=True))
        if ends:
            self._end_remote(stream)
        stream._readable.notify_all()
        return None

    def _on_request(
        self, frame: Frame, fields: Fields, accept: Callable[[Stream, Fields], None]
    ) -> Callable[[], None] | None:
        if frame.stream % 2 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client's stream with even number")
        self._last_stream = frame.stream
        if frame.stream > self._last_served:
            return None  # it has been told
        refused: ErrorCode | None = None
        if len(self._streams) >= MAX_STREAMS:
            refused = ErrorCode.REFUSED_STREAM
        try:
            check_fields(fields, REQUEST)
        except ValueError:
            refused = ErrorCode.PROTOCOL_ERROR
        if refused is not None:
            self._count_misdeed()
            self._outbox.put(h2.reset_frame(frame.stream, refused))
            return None
        stream = Stream(self, frame.stream, self._peer_window, STREAM_WINDOW)
        stream._fields = fields
        stream._remote_ended = bool(frame.flags & h2.END_STREAM)
        self._streams[frame.stream] = stream
        return lambda: accept(stream, fields)

    def _on_reset(self, frame: Frame) -> Callable[[], None] | None:
        stream = self._streams.get(frame.stream)
        if stream is None:
            self._check_known(frame)
            return None
        code = h2.read_number(frame.payload)
        if self._accept is not None:
            self._count_misdeed()
        if not stream._remote_ended:
            self._drop_unread(stream)
        return self._fail(stream, StreamEnded(code, "the peer ended the stream", remote=True))

    def _on_settings(self, settings: dict[int, int]) -> None:
        window = settings.get(Setting.INITIAL_WINDOW_SIZE, self._peer_window)
        for stream in self._streams.values():
            stream._send_window += window - self._peer_window
            if stream._send_window > h2.MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window beyond 2^31-1")
        self._peer_window = window
        self._peer_frame = min(settings.get(Setting.MAX_FRAME_SIZE, self._peer_frame), MAX_FRAME)
        self._peer_streams = settings.get(Setting.MAX_CONCURRENT_STREAMS, h2.MAX_WINDOW)
        self._peer_headers = settings.get(Setting.MAX_HEADER_LIST_SIZE, self._peer_headers)
        self._outbox.put(h2.SETTINGS_ACK)
        self._changed.notify_all()

    def _on_ping(self, frame: Frame) -> None:
        if not frame.flags & h2.ACK:
            self._outbox.put(h2.ping_frame(frame.payload, ack=True))
        elif frame.payload == _DRAIN_PING and self._draining:
            self._last_served = self._last_stream
            self._outbox.put(h2.goaway_frame(self._last_served, ErrorCode.NO_ERROR))
            self._changed.notify_all()

    def _on_goaway(self, frame: Frame) -> list[Callable[[], None] | None]:
        last, code, reason = h2.read_goaway(frame.payload)
        self._draining = True
        why = f"the peer is going away ({code}): {reason}" if code else "the peer is going away"
        fault = StreamEnded(ErrorCode.REFUSED_STREAM, why, remote=True)
        gone = [stream for number, stream in self._streams.items() if number > last]
        watchers = [self._fail(stream, fault) for stream in gone]
        self._changed.notify_all()
        if not self._streams:
            self._outbox.finish()
        return watchers

    def _on_window(self, frame: Frame) -> None:
        credit = h2.read_number(frame.payload)
        if credit == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a window grows by nothing")
        if frame.stream == 0:
            window = self._send_window = self._send_window + credit
        else:
            stream = self._streams.get(frame.stream)
            if stream is None:
                self._check_known(frame)
                return
            window = stream._send_window = stream._send_window + credit
        if window > h2.MAX_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window beyond 2^31-1")
        self._changed.notify_all()

    def _check_known(self, frame: Frame) -> None:
        """A frame on a stream that is not open: closed is fine (it crossed), idle is not."""
        if frame.stream > self._last_stream or frame.stream % 2 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame on a stream never opened")

    def _count_misdeed(self) -> None:
        now = time.monotonic()
        forgiven = (now - self._misdeeds_at) * _MISDEEDS_A_SECOND
        self._misdeeds = max(0.0, self._misdeeds - forgiven) + 1
        self._misdeeds_at = now
        if self._misdeeds > _MISDEEDS:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many streams were reset")
