"""The ports of remote calls, with gRPC's semantics, independent of the transport.

A call is a stream of messages in each direction (opaque bytes: encoded protobuf), with metadata
before and a status after them. All methods block; one thread may send while another receives.
Metadata names are lower-case. Values of names that end in `-bin` are bytes, all others are text.
"""

from __future__ import annotations

from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.system.cancel import Cancellation

Metadata = tuple[tuple[str, str | bytes], ...]


class Code(IntEnum):
    """gRPC's status codes (grpc `doc/statuscodes.md`)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Detail(NamedTuple):
    """One `google.protobuf.Any` of a status: the type URL, and the encoded bytes."""

    type_url: str
    value: bytes


class StatusError(Exception):
    """A call ended with another status than OK, from the peer or the connection (UNAVAILABLE).

    `details` are sent in `grpc-status-details-bin`. A handler raises it to end its call.
    """

    def __init__(self, code: Code, message: str, details: tuple[Detail, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"


class Answered(StatusError):
    """The peer has answered a call without reading everything; `receive` returns the answer.

    gRPC's libraries call it EOF of sending. It is not a failure of the call.
    """

    def __init__(self) -> None:
        super().__init__(Code.CANCELLED, "the peer has answered, and reads no more")


class Transport(Protocol):
    """A bidirectional byte stream: a socket, TLS, a pair of pipes, or a tunnel in another call."""

    def receive(self, limit: int) -> bytes:
        """Wait for up to `limit` bytes; b"" at the end. Raises OSError if the transport breaks."""
        ...

    def send(self, data: bytes) -> None:
        """Send all bytes. Raises OSError if the transport breaks."""
        ...

    def send_some(self, data: bytes) -> int:
        """Send as much as possible without waiting. Returns the number of bytes, 0 if it is broken.

        Do not call it while another thread is in `send`.
        """
        ...

    def close(self) -> None:
        """End both directions, and wake waiting threads. Idempotent."""
        ...


class Peer(NamedTuple):
    """The caller: an address for logs, and the subject of its certificate, "" without one."""

    address: str
    subject: str = ""


class Call(Protocol):
    """The part of a call that both sides have."""

    def receive(self) -> bytes | None:
        """The next message, None when the other side has finished sending.

        Raises StatusError: at the client when the call failed; at the server CANCELLED when the
        client is gone.
        """
        ...

    def send(self, message: bytes) -> None:
        """Send a message. Waits for flow control.

        Raises StatusError if the call is over; at the client Answered if it ended regularly.
        """
        ...

    def send_all(self, messages: Sequence[bytes]) -> None:
        """Send small messages together, which takes less time than one after another.

        Raises as `send` does.
        """
        ...

    def hang_up(self) -> None:
        """Stop messages in both directions: `receive` returns None to waiting threads, `send`
        raises.

        The status follows as usual: from the handler's return, or at the client when it leaves its
        `with` block. Never blocks.
        """
        ...


class ServerCall(Call, Protocol):
    """A call, as its handler sees it."""

    @property
    def method(self) -> str:
        """`/package.Service/Method`."""
        ...

    @property
    def metadata(self) -> Metadata: ...

    @property
    def peer(self) -> Peer: ...

    @property
    def cancel(self) -> Cancellation:
        """Flipped when the client is gone, has cancelled, or its deadline (`grpc-timeout`) has
        passed.

        Not flipped when the handler returns. Flipping it ends the call: the client gets CANCELLED.
        """
        ...

    def start(self, metadata: Metadata = ()) -> None:
        """Send the response's headers now, before any message."""
        ...


class ClientCall(Call, Protocol):
    """A call, as its client sees it. Leaving its `with` block cancels it if it is not over."""

    def finish_sending(self) -> None: ...

    def header(self) -> Metadata:
        """The response's headers. Waits for them. Raises StatusError."""
        ...

    def cancel(self) -> None: ...

    def __enter__(self) -> ClientCall: ...

    def __exit__(self, *exception: object) -> None: ...


class Handler(Protocol):
    """Serves one call. Returning ends it with OK, raising StatusError with that status."""

    def __call__(self, call: ServerCall, /) -> None: ...


class Channel(Protocol):
    """Opens calls to one peer. Thread-safe."""

    def open(
        self, method: str, metadata: Metadata = (), cancel: Cancellation | None = None
    ) -> ClientCall:
        """Open a call. Cancelling `cancel` cancels the call. Raises StatusError(UNAVAILABLE)."""
        ...

    @property
    def closed(self) -> bool: ...

    def close(self) -> None: ...


def send_request(call: ClientCall, request: bytes) -> None:
    """Send the only message of a call, and finish sending. Raises StatusError.

    The peer may already have answered; `receive` returns the answer.
    """
    with suppress(Answered):
        call.send(request)
    call.finish_sending()


def call_unary(
    channel: Channel,
    method: str,
    request: bytes,
    *,
    metadata: Metadata = (),
    cancel: Cancellation | None = None,
) -> bytes:
    """A call with one request and one response. Raises StatusError."""
    with channel.open(method, metadata, cancel) as call:
        send_request(call, request)
        response = call.receive()
        if response is None:
            raise StatusError(Code.INTERNAL, f"{method} ended without a response")
        while call.receive() is not None:  # the status comes after it
            continue
        return response
