"""The streams of a connection, and its flow control for sending (RFC 9113, section 5).

One lock guards the whole state of a connection, including its streams; no thread waits for the peer
while it holds the lock. Methods that begin with an underscore, and those that are marked, must be
called with the lock held.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from lamina.wire import frames as h2
from lamina.wire.budget import RECEIVED, ReceiveBudget
from lamina.wire.frames import ErrorCode
from lamina.wire.headers import Fields, encode_block, list_size
from lamina.wire.outbox import Outbox
from lamina.wire.stream import Stream, StreamEnded

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Transport

STREAM_WINDOW = 2 << 20  # bytes that a stream may receive before its reader reads
CONNECTION_WINDOW = 64 << 20  # and all streams of a connection together
MAX_STREAMS = 512
MAX_FRAME = 256 << 10
MAX_HEADERS = 1 << 20  # headers contain the filters of a context and the details of an error
_HELD_STEP = 256 << 10  # the change of the held bytes after which the budget is updated
_ASSUMED_STREAMS = 100  # the assumed limit of streams until the peer's settings arrive


class Exchange:
    """The state of a connection, and its sending side. (`incoming` is the receiving side.) `server`
    is the role of this end."""

    def __init__(
        self, transport: Transport, *, server: bool, budget: ReceiveBudget = RECEIVED
    ) -> None:
        self.server = server
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)  # windows, space to send, streams, the end
        self.outbox = Outbox(transport, self.lock, self.changed)
        self.streams: dict[int, Stream] = {}
        self.last_stream = 0  # the highest stream number that the client has used
        self.last_served = h2.MAX_WINDOW  # the highest one that the server serves when it drains
        self.send_window = h2.INITIAL_WINDOW
        self.receive_window = CONNECTION_WINDOW
        self.peer_window = h2.INITIAL_WINDOW
        self.peer_frame = h2.MIN_FRAME_SIZE
        self.peer_streams = _ASSUMED_STREAMS
        self.peer_headers = MAX_HEADERS
        self.introduced = False  # the peer's settings have arrived
        self.idle_since = time.monotonic()  # when the last stream ended
        self.draining = False
        self.why_ended = ""  # the reason, once it has ended
        self._owed = 0  # bytes read for which the peer has no new credit yet
        self._budget = budget
        self._held = 0  # by all streams
        self._reported = 0  # the part that the budget counts

    @property
    def closed(self) -> bool:
        """Whether no stream can be opened any more."""
        return self.draining or bool(self.why_ended)

    def open_streams(self) -> list[Stream]:
        return list(self.streams.values())

    def introduce(self) -> None:
        """Queue the first frames of this end."""
        settings = [
            (h2.Setting.INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (h2.Setting.MAX_FRAME_SIZE, MAX_FRAME),
            (h2.Setting.MAX_HEADER_LIST_SIZE, MAX_HEADERS),
        ]
        if self.server:
            settings.append((h2.Setting.MAX_CONCURRENT_STREAMS, MAX_STREAMS))
        else:
            settings.append((h2.Setting.ENABLE_PUSH, 0))
        with self.lock:
            self.outbox.put(
                b"" if self.server else h2.PREFACE,
                h2.settings_frame(settings),
                h2.window_frame(0, CONNECTION_WINDOW - h2.INITIAL_WINDOW),
            )

    def open(self, fields: Fields, cancel: Cancellation | None) -> Stream:
        """Open a stream, when the peer accepts a further one. Raises StreamEnded, Cancelled."""
        block = encode_block(fields)
        if cancel is None:
            return self._open(block, None)
        with cancel.calling(self._wake):
            return self._open(block, cancel)

    def send_data(self, stream: Stream, data: bytes) -> None:
        outbox, size, at = self.outbox, len(data), 0
        with self.lock:
            while at < size:
                self._check_sending(stream)
                if stream._hung_up:
                    raise StreamEnded(None, "the call was hung up", remote=False)
                room = min(size - at, stream._send_window, self.send_window, self.peer_frame)
                if room <= 0 or outbox.full:
                    self.changed.wait()
                    continue
                piece = data if room == size else memoryview(data)[at : at + room]
                outbox.put(h2.head(room, h2.DATA, 0, stream.number), piece)
                stream._send_window -= room
                self.send_window -= room
                at += room

    def send_fields(self, stream: Stream, fields: Fields, *, end: bool) -> None:
        block = encode_block(fields)
        with self.lock:
            self._check_sending(stream)
            self._put_block(stream, block, end=end)
            if end:
                stream._local_ended = True
                self.settle(stream)

    def fits(self, fields: Fields) -> bool:
        """Whether the peer accepts a header block of that size."""
        return list_size(fields) <= self.peer_headers

    def end_stream(self, stream: Stream) -> None:
        with self.lock:
            if stream._local_ended or stream._fault is not None:
                return
            self.outbox.put(h2.head(0, h2.DATA, h2.END_STREAM, stream.number))
            stream._local_ended = True
            self.settle(stream)
            self.changed.notify_all()

    def hang_up(self, stream: Stream) -> None:
        with self.lock:
            stream._hung_up = True
            self.drop_unread(stream)
            stream._readable.notify_all()
            self.changed.notify_all()

    def reset_stream(self, stream: Stream, code: ErrorCode, reason: str) -> None:
        with self.lock:
            if not stream.over:
                self.outbox.put(h2.reset_frame(stream.number, code))
                self.fail(stream, StreamEnded(code, reason, remote=False))
            self.drop_unread(stream)

    def end(self, code: ErrorCode, reason: str) -> None:
        """End all open streams; only a GOAWAY is still sent. Only the first call has an effect."""
        with self.lock:
            if self.why_ended:
                return
            self.why_ended = reason
            last = self.last_stream if self.server else 0
            self.outbox.put(h2.goaway_frame(last, code, reason if code else ""))
            self._report(0)
            fault = StreamEnded(None, reason, remote=True)
            watchers = [self.fail(stream, fault) for stream in list(self.streams.values())]
            self.changed.notify_all()
            self.outbox.finish()
        for watcher in watchers:
            if watcher is not None:
                watcher()

    # To be called with the lock held

    def grant(self, stream: Stream, size: int) -> None:
        """Return credit to the peer for bytes that were read."""
        self.refund(size)
        stream._owed += size
        if stream._owed >= STREAM_WINDOW // 4 and not stream._remote_ended:
            self.outbox.put(h2.window_frame(stream.number, stream._owed))
            stream._receive_window += stream._owed
            stream._owed = 0

    def refund(self, size: int) -> None:
        """Return credit only for the connection: the stream has ended, or has no reader."""
        self._owed += size
        if self._owed >= CONNECTION_WINDOW // 8:
            self.outbox.put(h2.window_frame(0, self._owed))
            self.receive_window += self._owed
            self._owed = 0

    def hold(self, stream: Stream, size: int) -> None:
        """Count received bytes of a stream."""
        if not stream.held:
            stream.held_since = time.monotonic()
        stream.held += size
        self._held += size

    def release(self, stream: Stream, size: int) -> None:
        """Subtract bytes of a stream that a handler has read or that were discarded."""
        if size > 0:  # fewer if some were discarded meanwhile
            stream.held -= size
            stream.held_since = time.monotonic()
            self._held -= size
            if self._reported - self._held >= _HELD_STEP:
                self._report(self._held)

    def too_much(self) -> Stream | None:
        """The stream, of any connection, to reset because peers have sent too much."""
        if self.why_ended or self._held - self._reported < _HELD_STEP:
            return None
        return self._report(self._held)

    def _report(self, held: int) -> Stream | None:
        if self.why_ended:
            held = 0
        self._reported = held
        return self._budget.update(self, held)

    def drop_unread(self, stream: Stream) -> None:
        self.release(stream, stream.held)
        stream._inbox.clear()
        self.refund(stream._unread)
        stream._unread = 0

    def fail(self, stream: Stream, fault: StreamEnded) -> Callable[[], None] | None:
        """End a stream with an error. Returns functions to call after the lock is released."""
        stream._fault = fault
        self._forget(stream)
        stream._readable.notify_all()
        self.changed.notify_all()
        watcher, stream._on_fault = stream._on_fault, None
        self._finish_if_drained()
        if watcher is None or not fault.remote:
            return None
        return lambda: watcher(fault)

    def settle(self, stream: Stream) -> None:
        """One direction has ended: forget the stream when both have."""
        if stream._local_ended and stream._remote_ended:
            self._forget(stream)
            stream._on_fault = None
            self.changed.notify_all()
            self._finish_if_drained()

    def _forget(self, stream: Stream) -> None:
        self.streams.pop(stream.number, None)
        if not self.streams:
            self.idle_since = time.monotonic()

    def _finish_if_drained(self) -> None:
        """End a client's connection after its last call, if the server has sent a GOAWAY."""
        if self.draining and not self.server and not self.streams:
            self.outbox.finish()

    def _check_sending(self, stream: Stream) -> None:
        fault = stream._fault
        answered = not self.server and stream._remote_ended and not stream._local_ended
        if answered and (fault is None or fault.remote):
            # A call ends with its response, even if the connection fails afterwards.
            raise StreamEnded(ErrorCode.NO_ERROR, "the peer has ended the call", remote=True)
        if fault is not None:
            raise fault.again()
        if stream._local_ended:
            raise StreamEnded(None, "sending has been finished", remote=False)

    def _put_block(self, stream: Stream, block: bytes, *, end: bool) -> None:
        frames = h2.header_frames(stream.number, block, end=end, max_frame=self.peer_frame)
        self.outbox.put(frames)

    # To be called without the lock

    def _wake(self) -> None:
        with self.lock:
            self.changed.notify_all()

    def _open(self, block: bytes, cancel: Cancellation | None) -> Stream:
        with self.lock:
            while True:
                if self.closed or self.last_stream >= h2.MAX_WINDOW - 2:
                    raise StreamEnded(
                        None, self.why_ended or "the peer closes the connection", remote=True
                    )
                if cancel is not None:
                    cancel.check()
                if len(self.streams) < self.peer_streams:
                    break
                self.changed.wait()
            self.last_stream += 2 if self.last_stream else 1
            stream = Stream(self, self.last_stream, self.peer_window, STREAM_WINDOW)
            self.streams[stream.number] = stream
            self._put_block(stream, block, end=False)
            return stream
