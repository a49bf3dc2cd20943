"""Servers with invalid answers: the client gets a status, and never hangs."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from lamina.wire import frames as h2
from lamina.wire.client import GrpcChannel
from lamina.wire.contract import Answered, Code, Peer, StatusError, call_unary, send_request
from lamina.wire.frames import ErrorCode
from lamina.wire.headers import Fields, encode_block
from lamina.wire.server import GrpcServer
from lamina.wire.transport import SocketTransport
from tests.wire.wire_service import HANDLERS

if TYPE_CHECKING:
    from collections.abc import Callable

HELLO = h2.settings_frame(())
GOOD: Fields = [(b":status", b"200"), (b"content-type", b"application/grpc")]
OK: Fields = [(b"grpc-status", b"0")]
STOP = h2.reset_frame(1, ErrorCode.NO_ERROR)
ANSWER = b"\0\0\0\0\x01x"


def block(fields: Fields, *, end: bool = False) -> bytes:
    return h2.header_frames(1, encode_block(fields), end=end, max_frame=16384)


def data(payload: bytes, *, end: bool = False) -> bytes:
    return h2.head(len(payload), h2.DATA, int(end), 1) + payload


def answered(frames: bytes, then: Callable[[GrpcChannel], bytes]) -> bytes:
    """The outcome of a call to a server that answers with these frames."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs:
            received = b""
            while b"/a.B/C" not in received:
                received += theirs.recv(65536)
            theirs.sendall(HELLO + frames)
            while theirs.recv(65536):  # until the client has disconnected
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with GrpcChannel(SocketTransport(ours)) as channel:
            return then(channel)
    finally:
        thread.join(10)


def ask(channel: GrpcChannel) -> bytes:
    return call_unary(channel, "/a.B/C", b"")


def ask_late(channel: GrpcChannel) -> bytes:
    """The same, with the complete answer sent before the request."""
    with channel.open("/a.B/C") as call:
        while not (call._stream.answered or call._stream._fault):
            time.sleep(0.001)
        time.sleep(0.01)  # and what follows it
        send_request(call, b"")
        response = call.receive()
        assert call.receive() is None
        return response or b""


@pytest.mark.parametrize("asking", [ask, ask_late])
@pytest.mark.parametrize(
    "frames",
    [
        block(GOOD) + data(ANSWER) + block(OK, end=True),
        block([(b":status", b"103")]) + block(GOOD) + data(ANSWER) + block(OK, end=True),
        block(GOOD) + data(b"") + data(ANSWER) + block(OK, end=True) + STOP,
        block(GOOD) + data(ANSWER) + block(OK, end=True) + h2.goaway_frame(1, ErrorCode.NO_ERROR),
        h2.goaway_frame(1, ErrorCode.NO_ERROR) + block(GOOD) + data(ANSWER) + block(OK, end=True),
    ],
)  # fmt: skip
def test_good_answers(frames: bytes, asking: Callable[[GrpcChannel], bytes]) -> None:
    assert answered(frames, asking) == b"x"


def test_a_good_answer_of_a_server_that_leaves_at_once() -> None:
    """The connection is closed when the request is sent."""
    ours, theirs = socket.socketpair()
    with GrpcChannel(SocketTransport(ours)) as channel, channel.open("/a.B/C") as call:
        theirs.sendall(HELLO + block(GOOD) + data(ANSWER) + block(OK, end=True))
        theirs.shutdown(socket.SHUT_WR)
        assert channel.wait(10)
        with pytest.raises(Answered):
            call.send(b"")
        send_request(call, b"")
        assert call.receive() == b"x"
        assert call.receive() is None
        theirs.close()


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (block([(b":status", b"404")]) + data(b"<html>", end=True), Code.UNIMPLEMENTED),
        (block([(b":status", b"404")]) + data(b"<html>"), Code.UNIMPLEMENTED),
        (block([(b":status", b"503")], end=True), Code.UNAVAILABLE),
        (block([(b":status", b"200"), (b"content-type", b"text/html")]), Code.UNKNOWN),
        (block([*GOOD, (b"grpc-status", b"5")]), Code.NOT_FOUND),
        (block([*GOOD, (b"grpc-status", b"5")], end=True), Code.NOT_FOUND),
        (block([*GOOD, *OK], end=True), Code.INTERNAL),
        (block(GOOD) + data(ANSWER, end=True), Code.UNKNOWN),
        (block(GOOD) + data(ANSWER[:4]) + block(OK, end=True), Code.INTERNAL),
        (
            block(GOOD) + data(ANSWER[:4]) + block([(b"grpc-status", b"10")], end=True),
            Code.ABORTED,
        ),
        (block(GOOD) + data(b"\x01\0\0\0\x01x") + block(OK, end=True), Code.INTERNAL),
        (block([*GOOD, (b"Upper", b"x")]), Code.INTERNAL),
        (block(GOOD) + block(OK), Code.INTERNAL),
        (h2.reset_frame(1, ErrorCode.REFUSED_STREAM), Code.UNAVAILABLE),
        (h2.reset_frame(1, ErrorCode.CANCEL), Code.CANCELLED),
        (h2.reset_frame(1, ErrorCode.ENHANCE_YOUR_CALM), Code.RESOURCE_EXHAUSTED),
        (h2.reset_frame(1, ErrorCode.INTERNAL_ERROR), Code.INTERNAL),
        (block(GOOD) + h2.reset_frame(1, ErrorCode.PROTOCOL_ERROR), Code.INTERNAL),
        (h2.goaway_frame(0, ErrorCode.ENHANCE_YOUR_CALM, "go"), Code.UNAVAILABLE),
        (data(ANSWER), Code.UNAVAILABLE),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Code.UNAVAILABLE),
        (h2.head(4, h2.PUSH_PROMISE, 4, 1) + bytes(4), Code.UNAVAILABLE),
        (h2.header_frames(2, encode_block(GOOD), end=True, max_frame=16384), Code.UNAVAILABLE),
    ],
)
def test_odd_answers(frames: bytes, code: Code) -> None:
    with pytest.raises(StatusError) as caught:
        answered(frames, ask)
    assert caught.value.code is code


def test_a_request_on_its_way_when_the_server_is_closed() -> None:
    """The client gets an error, whenever the server closes."""
    for _ in range(50):
        ours, theirs = socket.socketpair()
        server = GrpcServer(SocketTransport(theirs), HANDLERS, Peer(""))
        closing = threading.Thread(target=server.close)
        with GrpcChannel(SocketTransport(ours)) as channel:
            closing.start()
            with pytest.raises(StatusError) as caught:
                while True:
                    call_unary(channel, "/test.Service/Echo", b"x")
            assert caught.value.code in (Code.UNAVAILABLE, Code.CANCELLED)
        closing.join(10)
        assert not closing.is_alive()
