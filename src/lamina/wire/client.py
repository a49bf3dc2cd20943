"""The client side of gRPC over one HTTP/2 connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import Cancelled
from lamina.wire.connection import Connection
from lamina.wire.contract import Answered, Code, StatusError
from lamina.wire.messages import MessageReader, send_message, send_messages
from lamina.wire.metadata import metadata_fields, read_metadata
from lamina.wire.status import from_fault, read_status
from lamina.wire.stream import StreamEnded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Metadata, Transport
    from lamina.wire.headers import Fields
    from lamina.wire.stream import Stream


class GrpcChannel:
    """Implements `contract.Channel` over a transport, which it closes. Does not reconnect."""

    def __init__(
        self, transport: Transport, *, authority: str = "localhost", scheme: str = "http"
    ) -> None:
        self._common: Fields = [
            (b":method", b"POST"),
            (b":scheme", scheme.encode()),
            (b":authority", authority.encode()),
        ]
        self._connection = Connection(transport)
        self._connection.start()

    def open(
        self, method: str, metadata: Metadata = (), cancel: Cancellation | None = None
    ) -> OpenCall:
        fields = [
            *self._common,
            (b":path", method.encode()),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"grpc-accept-encoding", b"gzip"),
            *metadata_fields(metadata),
        ]
        if not self._connection.fits(fields):
            raise StatusError(Code.RESOURCE_EXHAUSTED, "the metadata exceeds the limit of the peer")
        try:
            stream = self._connection.open(fields, cancel)
        except StreamEnded as ended:
            raise StatusError(Code.UNAVAILABLE, ended.reason) from None
        except Cancelled as cancelled:
            raise StatusError(Code.CANCELLED, cancelled.reason) from cancelled
        return OpenCall(stream, cancel)

    @property
    def closed(self) -> bool:
        return self._connection.closed

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the connection has ended. Returns whether it has."""
        return self._connection.wait(seconds)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> GrpcChannel:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class OpenCall:
    """Implements `contract.ClientCall`."""

    def __init__(self, stream: Stream, cancel: Cancellation | None) -> None:
        self._stream = stream
        self._reader = MessageReader(stream)
        self._answered = False  # the response's headers have been read
        self._listening: AbstractContextManager[None] | None = None
        if cancel is not None:
            self._listening = cancel.calling(self.cancel)
            self._listening.__enter__()

    def send(self, message: bytes) -> None:
        try:
            send_message(self._stream, message)
        except StreamEnded as ended:
            raise self._reason(ended) from None

    def send_all(self, messages: Sequence[bytes]) -> None:
        try:
            send_messages(self._stream, messages)
        except StreamEnded as ended:
            raise self._reason(ended) from None

    def finish_sending(self) -> None:
        self._stream.end()

    def hang_up(self) -> None:
        self._stream.hang_up()
        self._stream.end()

    def header(self) -> Metadata:
        fields = self._answer()
        return read_metadata(fields) if fields is not None else ()

    def receive(self) -> bytes | None:
        if not self._answered and self._answer() is None:
            return None
        try:
            message = self._reader.next()
        except StreamEnded as ended:
            raise self._reason(ended) from None
        except StatusError as malformed:
            raise self._end_status() or malformed from None
        if message is None and (status := self._end_status()) is not None:
            raise status
        return message

    def cancel(self) -> None:
        self._stream.reset()

    def __enter__(self) -> OpenCall:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._listening is not None:
            self._listening.__exit__(None, None, None)
            self._listening = None
        self.cancel()

    def _answer(self) -> Fields | None:
        """The response's headers; None if it consists only of the status OK. Raises StatusError."""
        try:
            fields = self._stream.fields()
        except StreamEnded as ended:
            raise self._reason(ended) from None
        values = dict(fields)
        if b"grpc-status" in values or values.get(b":status") != b"200":
            if (status := read_status(fields)) is not None:
                raise status
            return None
        if not values.get(b"content-type", b"").startswith(b"application/grpc"):
            raise StatusError(Code.UNKNOWN, "the response is not gRPC")
        self._reader.encoding = values.get(b"grpc-encoding", b"identity").decode("ascii", "replace")
        self._answered = True
        return fields

    def _end_status(self) -> StatusError | None:
        """The status that the peer has sent; None if it is OK, or has not arrived."""
        fields = self._stream.last_fields()
        return read_status(fields) if fields is not None else None

    def _reason(self, ended: StreamEnded) -> StatusError:
        """The reason why the stream is unusable: the peer's status, if it has sent one."""
        if ended.remote:
            if (status := self._end_status()) is not None:
                return status
            if self._stream.answered:
                return Answered()
        return from_fault(ended)
