"""A service with calls of all kinds, and two ends to connect."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from lamina.wire.contract import Code, Detail, Handler, ServerCall, StatusError
from lamina.wire.transport import PipeTransport, SocketTransport

if TYPE_CHECKING:
    from lamina.wire.contract import Transport

Ends = tuple["Transport", "Transport"]

DETAIL = Detail("type.googleapis.com/test.Why", b"\x0a\x03abc\xff\x00")


def echo(call: ServerCall) -> None:
    """Send each message back, including metadata."""
    call.start(tuple(item for item in call.metadata if item[0].startswith("x-")))
    while (message := call.receive()) is not None:
        call.send(message)


def total(call: ServerCall) -> None:
    size = 0
    while (message := call.receive()) is not None:
        size += len(message)
    call.send(b"%d" % size)


def count(call: ServerCall) -> None:
    request = call.receive()
    assert request is not None
    amount, size = map(int, request.split())
    for number in range(amount):
        call.send(b"%0*d" % (size, number))


def fail(call: ServerCall) -> None:
    call.receive()
    raise StatusError(Code.FAILED_PRECONDITION, "nö: 100% of\nit", (DETAIL,))


def fail_late(call: ServerCall) -> None:
    call.send(b"first")
    raise StatusError(Code.ABORTED, "then this")


def wait(call: ServerCall) -> None:
    """Wait until the client disconnects."""
    call.start()
    call.cancel.wait(20)


def silent(call: ServerCall) -> None:
    """Send nothing until the client disconnects."""
    call.cancel.wait(20)


def early(call: ServerCall) -> None:
    """Answer before reading everything."""
    call.receive()
    call.send(b"enough")


HANDLERS: dict[str, Handler] = {
    "/test.Service/Echo": echo,
    "/test.Service/Total": total,
    "/test.Service/Count": count,
    "/test.Service/Fail": fail,
    "/test.Service/FailLate": fail_late,
    "/test.Service/Wait": wait,
    "/test.Service/Silent": silent,
    "/test.Service/Early": early,
}


def socket_ends() -> Ends:
    one, other = socket.socketpair()
    return SocketTransport(one), SocketTransport(other)


def pipe_ends() -> Ends:
    there_read, there_write = os.pipe2(os.O_CLOEXEC)
    back_read, back_write = os.pipe2(os.O_CLOEXEC)
    return PipeTransport(back_read, there_write), PipeTransport(there_read, back_write)
