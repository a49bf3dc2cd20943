"""The ports of remote calls: gRPC's shapes, whatever carries them.

A call is a stream of messages each way (opaque bytes: encoded protobuf), with metadata before
and a status after. Everything blocks; one thread may send while another receives. Metadata
names are lower-case; values of names that end in `-bin` are bytes, all others text.
"""

from __future__ import annotations

from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
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
    """One `google.protobuf.Any` of a status: the type's URL, and its encoded bytes."""

    type_url: str
    value: bytes


class StatusError(Exception):
    """A call ended with another status than OK, at the peer or on the way (UNAVAILABLE).

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
    """The peer has answered a call without taking all that is sent; `receive` has the answer.

    It is what gRPC's libraries call EOF of sending, and no failure of the call.
    """

    def __init__(self) -> None:
        super().__init__(Code.CANCELLED, "the peer has answered, and takes no more")


class Transport(Protocol):
    """Bytes both ways: a socket, TLS, a pair of pipes, a tunnel through another call."""

    def receive(self, limit: int) -> bytes:
        """Wait for up to `limit` bytes; b"" at the end. Raises OSError if it breaks."""
        ...

    def send(self, data: bytes) -> None:
        """Send all. Raises OSError if it breaks."""
        ...

    def send_some(self, data: bytes) -> int:
        """Send as much as goes out without waiting; how much that was, 0 if it is broken.

        Never while another thread is in `send`.
        """
        ...

    def close(self) -> None:
        """End both ways; waiting threads are woken. May be called twice."""
        ...


class Peer(NamedTuple):
    """Who calls: an address for logs, and the subject of its certificate, "" without one."""

    address: str
    subject: str = ""


class Call(Protocol):
    """What both sides of a call do."""

    def receive(self) -> bytes | None:
        """The next message, None when the other side has finished sending.

        Raises StatusError: as a caller when the call failed; as a server CANCELLED when the
        caller has gone.
        """
        ...

    def send(self, message: bytes) -> None:
        """Send a message; waits for flow control.

        Raises StatusError if the call is over; as a caller Answered if it ended in order.
        """
        ...

    def hang_up(self) -> None:
        """Want no more messages of either way: `receive` returns None to threads that wait in it,
        `send` raises. The status still comes as ever: from the handler's return, or at the
        caller by leaving its `with` block. Never blocks.
        """
        ...


class ServerCall(Call, Protocol):
    """A call as its handler sees it."""

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
        """Flipped when the caller has gone, cancelled, or let its deadline (`grpc-timeout`) pass.

        Not flipped when the handler returns. Flipping it ends the call: the caller sees
        CANCELLED.
        """
        ...

    def start(self, metadata: Metadata = ()) -> None:
        """Send the response's headers now, ahead of any message."""
        ...


class ClientCall(Call, Protocol):
    """A call as its caller sees it. Leaving its `with` block cancels it if it is not over."""

    def finish_sending(self) -> None: ...

    def header(self) -> Metadata:
        """The response's headers; waits for them. Raises StatusError."""
        ...

    def cancel(self) -> None: ...

    def __enter__(self) -> ClientCall: ...

    def __exit__(self, *exception: object) -> None: ...


class Handler(Protocol):
    """Serves one call; returning ends it with OK, raising StatusError with that status."""

    def __call__(self, call: ServerCall, /) -> None: ...


class Channel(Protocol):
    """A way to call services of one peer. Usable from many threads at once."""

    def open(
        self, method: str, metadata: Metadata = (), cancel: Cancellation | None = None
    ) -> ClientCall:
        """Start a call; cancelling `cancel` cancels it. Raises StatusError(UNAVAILABLE)."""
        ...

    @property
    def closed(self) -> bool: ...

    def close(self) -> None: ...


def send_request(call: ClientCall, request: bytes) -> None:
    """Send the one message of a call, and finish sending. Raises StatusError.

    The peer may have answered by then; `receive` returns the answer.
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
    """One request, one response. Raises StatusError."""
    with channel.open(method, metadata, cancel) as call:
        send_request(call, request)
        response = call.receive()
        if response is None:
            raise StatusError(Code.INTERNAL, f"{method} ended without a response")
        while call.receive() is not None:  # the status comes after it
            continue
        return response
