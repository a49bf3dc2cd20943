"""The server side of gRPC over one HTTP/2 connection."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.system.cancel import Cancellation
from lamina.system.threads import WorkerPool
from lamina.wire.connection import Connection
from lamina.wire.contract import Code, StatusError
from lamina.wire.deadlines import Deadlines
from lamina.wire.exchange import MAX_STREAMS
from lamina.wire.frames import ErrorCode
from lamina.wire.messages import MessageReader, send_message, send_messages
from lamina.wire.metadata import metadata_fields, read_metadata
from lamina.wire.status import from_error, read_timeout, status_fields
from lamina.wire.stream import StreamEnded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.wire.contract import Handler, Metadata, Peer, Transport
    from lamina.wire.headers import Fields
    from lamina.wire.stream import Stream

_START: Fields = [
    (b":status", b"200"),
    (b"content-type", b"application/grpc"),
    (b"grpc-accept-encoding", b"gzip"),
]
_GRPC = re.compile(rb"application/grpc(\+|;|$)")
_SHORT = 1024  # characters of the message when the status was too large for the peer
_GRACE = 5.0  # seconds that handlers have to return after their connection is gone


class GrpcServer:
    """Serves one transport, which it closes, with `handlers`: by method path, `/a.B/C`.

    Each call runs in its own thread. The server ends when the peer disconnects; `close` frees its
    resources.
    """

    def __init__(self, transport: Transport, handlers: Mapping[str, Handler], peer: Peer) -> None:
        self._handlers = handlers
        self._peer = peer
        self._lock = threading.Lock()
        self._running = 0  # calls whose handlers have not returned
        self._deadlines = Deadlines()
        self._pool = WorkerPool(MAX_STREAMS, "wire-call")
        self._connection = Connection(transport, self._accept)
        self._connection.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the connection has ended. Returns whether it has."""
        return self._connection.wait(seconds)

    @property
    def ready(self) -> bool:
        """Whether the peer has sent HTTP/2's preface and its settings."""
        return self._connection.ready

    @property
    def last_received(self) -> float:
        """The time (`time.monotonic`) when the last bytes of the peer arrived."""
        return self._connection.last_received

    @property
    def idle_since(self) -> float:
        """The time (`time.monotonic`) since when no call has been open; infinity if one is."""
        return self._connection.idle_since

    def ping(self) -> None:
        """Send a ping, which the peer must answer."""
        self._connection.ping()

    def leave(self, reason: str) -> None:
        """End every call and send a GOAWAY, without waiting. `close` must still be called."""
        self._connection.leave(reason)

    def drain(self, seconds: float) -> bool:
        """Accept no more calls, wait for the running ones, and close. Returns whether they
        ended."""
        ended = self._connection.drain(seconds)
        self.close()
        return ended

    def close(self) -> None:
        """End every call and the connection. Idempotent."""
        self._connection.close()
        self._pool.close(_GRACE)
        self._deadlines.close()

    def __enter__(self) -> GrpcServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _accept(self, stream: Stream, fields: Fields) -> None:
        """Check a request in the connection's thread, and pass it to a handler."""
        call = ServedCall(stream, self._peer)
        try:
            timeout = call.begin(fields)
        except StatusError as error:
            call.finish(error)
            return
        with self._lock:
            # A client may reset its call and open another one while the handler still runs.
            busy = self._running >= MAX_STREAMS
            self._running += not busy
        if busy:
            stream.reset(ErrorCode.REFUSED_STREAM, "too many calls")
            return
        deadline = None if timeout is None else self._deadlines.set(timeout, call.expire)
        try:
            self._pool.submit(partial(self._serve, call, deadline))
        except RuntimeError:  # closed meanwhile
            stream.reset(ErrorCode.REFUSED_STREAM, "the server is closing")

    def _serve(self, call: ServedCall, deadline: object | None) -> None:
        """Run the handler in a thread of the pool, and send the status."""
        status: StatusError | None = None
        try:
            with call.cancel.calling(call.drop):
                handler = self._handlers.get(call.method)
                if handler is None:
                    raise StatusError(Code.UNIMPLEMENTED, f"unknown method {call.method}")
                handler(call)
        except StatusError as error:
            # A copy, because its traceback would refer to this frame, which refers to the status.
            # Such a cycle would keep all received data until the garbage collector runs.
            status = StatusError(error.code, error.message, error.details)
        except LaminaError as error:
            status = from_error(error)
        except BaseException as error:
            # Internal errors are logged, and not sent to the peer.
            status = StatusError(Code.INTERNAL, "the server failed to handle the call")
            thread = threading.current_thread()
            threading.excepthook(
                threading.ExceptHookArgs((type(error), error, error.__traceback__, thread))
            )
        if deadline is not None:
            self._deadlines.drop(deadline)
        call.finish(status)
        with self._lock:
            self._running -= 1


class ServedCall:
    """Implements `contract.ServerCall`."""

    def __init__(self, stream: Stream, peer: Peer) -> None:
        self.method = ""
        self.metadata: Metadata = ()
        self.peer = peer
        self.cancel = Cancellation()
        self._stream = stream
        self._reader = MessageReader(stream)
        self._lock = threading.Lock()  # for the response's headers and end
        self._started = False

    def begin(self, fields: Fields) -> float | None:
        """Read the request's headers. Returns the time-out in seconds. Raises StatusError."""
        values = dict(fields)
        self.method = values[b":path"].decode("utf-8", "replace")
        kind = values.get(b"content-type", b"")
        if values[b":method"] != b"POST" or not _GRPC.match(kind):
            raise StatusError(Code.INTERNAL, "not a gRPC request")
        encoding = values.get(b"grpc-encoding", b"identity").decode("ascii", "replace")
        if encoding not in ("identity", "gzip"):
            raise StatusError(Code.UNIMPLEMENTED, f"messages are encoded as {encoding!r}")
        self._reader.encoding = encoding
        self.metadata = read_metadata(fields)
        self._stream.watch(lambda fault: self.cancel.cancel(fault.reason))
        timeout = values.get(b"grpc-timeout")
        if timeout is None:
            return None
        try:
            return read_timeout(timeout)
        except ValueError as error:
            raise StatusError(Code.INTERNAL, f"malformed grpc-timeout: {error}") from error

    def start(self, metadata: Metadata = ()) -> None:
        fields = _START + metadata_fields(metadata)
        with self._lock:
            if self._started:
                raise RuntimeError("the response has started")
            self._started = True
            try:
                self._stream.send_fields(fields)
            except StreamEnded as ended:
                raise _gone(ended) from None

    def send(self, message: bytes) -> None:
        if not self._started:
            self.start()
        try:
            send_message(self._stream, message)
        except StreamEnded as ended:
            raise _gone(ended) from None

    def send_all(self, messages: Sequence[bytes]) -> None:
        if not self._started:
            self.start()
        try:
            send_messages(self._stream, messages)
        except StreamEnded as ended:
            raise _gone(ended) from None

    def receive(self) -> bytes | None:
        try:
            return self._reader.next()
        except StreamEnded as ended:
            raise _gone(ended) from None

    def hang_up(self) -> None:
        self._stream.hang_up()

    def drop(self) -> None:
        """End the call without a status."""
        self._stream.reset()

    def expire(self) -> None:
        """End the call, because its deadline has passed."""
        self.finish(StatusError(Code.DEADLINE_EXCEEDED, "the deadline has passed"))
        self.cancel.cancel("the deadline has passed")

    def finish(self, error: StatusError | None) -> None:
        """Send the status (None is OK), if the call is not over."""
        fields = status_fields(Code.OK)
        if error is not None:
            fields = status_fields(error.code, error.message, error.details)
            if not self._stream.fits(fields):
                fields = status_fields(error.code, error.message[:_SHORT])
        with self._lock:
            if not self._started:
                fields = _START + fields
            self._started = True
            with suppress(StreamEnded):
                self._stream.send_fields(fields, end=True)
        # A client that is still sending should stop.
        self._stream.reset(ErrorCode.NO_ERROR, "the call is over")


def _gone(ended: StreamEnded) -> StatusError:
    return StatusError(Code.CANCELLED, ended.reason)
