"""Connections inside a call, and inside a call of that, in both roles."""

from __future__ import annotations

import threading

import pytest

from lamina.wire.client import GrpcChannel
from lamina.wire.contract import ClientCall, Code, Peer, ServerCall, StatusError, call_unary
from lamina.wire.server import GrpcServer
from lamina.wire.transport import TunnelTransport
from tests.wire.wire_service import HANDLERS, Ends


def serve_inside(call: ServerCall) -> None:
    """The inner server is the outer server's handler."""
    with GrpcServer(TunnelTransport(call), NESTED, Peer("inner")) as server:
        server.wait()


NESTED = {**HANDLERS, "/test.Service/Tunnel": serve_inside}


def test_a_tunnel_in_a_tunnel(ends: Ends) -> None:
    with (
        GrpcServer(ends[1], NESTED, Peer("outer")),
        GrpcChannel(ends[0]) as outer,
        outer.open("/test.Service/Tunnel") as call,
        GrpcChannel(TunnelTransport(call)) as middle,
        middle.open("/test.Service/Tunnel") as inner_call,
        GrpcChannel(TunnelTransport(inner_call)) as inner,
    ):
        message = bytes(range(256)) * 20000
        assert call_unary(inner, "/test.Service/Echo", message) == message
        assert call_unary(middle, "/test.Service/Total", message) == b"5120000"
        assert call_unary(outer, "/test.Service/Echo", b"out") == b"out"


def test_the_caller_serves_inside(ends: Ends) -> None:
    """As in a session: the client of the call is the server inside it."""
    answers: list[bytes] = []

    def session(call: ServerCall) -> None:
        with GrpcChannel(TunnelTransport(call)) as channel:
            answers.append(call_unary(channel, "/test.Service/Echo", b"lend me this"))

    with (
        GrpcServer(ends[1], {"/a.B/Session": session}, Peer("")),
        GrpcChannel(ends[0]) as channel,
        channel.open("/a.B/Session") as call,
    ):
        with GrpcServer(TunnelTransport(call), HANDLERS, Peer("")) as lender:
            assert lender.wait(10)
        assert call.receive() is None  # the status is OK: the session was not interrupted
    assert answers == [b"lend me this"]


def test_a_caller_that_hangs_up_ends_the_session(ends: Ends) -> None:
    statuses: list[Code] = []
    ended = threading.Event()

    def session(call: ServerCall) -> None:
        with GrpcChannel(TunnelTransport(call)) as channel:
            try:
                call_unary(channel, "/test.Service/Silent", b"")
            except StatusError as error:
                statuses.append(error.code)
        ended.set()

    with (
        GrpcServer(ends[1], {"/a.B/Session": session}, Peer("")),
        GrpcChannel(ends[0]) as channel,
        channel.open("/a.B/Session") as call,
    ):
        lender = GrpcServer(TunnelTransport(call), HANDLERS, Peer(""))
        threading.Timer(0.1, lender.close).start()
        assert lender.wait(10)
        assert ended.wait(5)
        assert call.receive() is None
    assert statuses == [Code.UNAVAILABLE]


def test_a_broken_outer_connection_breaks_the_inner(ends: Ends) -> None:
    with GrpcServer(ends[1], NESTED, Peer("")) as server, GrpcChannel(ends[0]) as outer:
        call: ClientCall
        with (
            outer.open("/test.Service/Tunnel") as call,
            GrpcChannel(TunnelTransport(call)) as inner,
        ):
            with inner.open("/test.Service/Wait") as waiting:
                waiting.header()
                server.close()
                with pytest.raises(StatusError) as caught:
                    waiting.receive()
                assert caught.value.code is Code.UNAVAILABLE
            assert inner.wait(5)


def test_invalid_frames_end_the_inner_connection(ends: Ends) -> None:
    with GrpcServer(ends[1], NESTED, Peer("")), GrpcChannel(ends[0]) as outer:
        with outer.open("/test.Service/Tunnel") as call:
            call.send(b"\x0b\xff")
            while call.receive() is not None:  # its settings and GOAWAY, then the end
                pass
        assert call_unary(outer, "/test.Service/Echo", b"on") == b"on"
