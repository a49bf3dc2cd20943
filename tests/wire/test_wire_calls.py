"""Calls between our client and our server, over sockets and pipes."""

from __future__ import annotations

import threading
import time

import pytest

from lamina.system.cancel import Cancellation
from lamina.wire.client import GrpcChannel
from lamina.wire.contract import Code, Peer, ServerCall, StatusError, call_unary
from lamina.wire.server import GrpcServer
from tests.wire.wire_service import DETAIL, HANDLERS, Ends, socket_ends


def test_one_request_one_response(channel: GrpcChannel) -> None:
    assert call_unary(channel, "/test.Service/Total", b"four") == b"4"


def test_an_empty_message_is_a_message(channel: GrpcChannel) -> None:
    assert call_unary(channel, "/test.Service/Echo", b"") == b""


@pytest.mark.parametrize("size", [16384, 65536, (8 << 20) + 7])
def test_large_messages_there_and_back(channel: GrpcChannel, size: int) -> None:
    message = bytes(range(256)) * (size // 256 + 1)
    assert call_unary(channel, "/test.Service/Echo", message[:size]) == message[:size]


def test_too_large_a_message_is_refused(channel: GrpcChannel) -> None:
    with pytest.raises(StatusError) as caught:
        call_unary(channel, "/test.Service/Total", bytes((16 << 20) + 1))
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    assert call_unary(channel, "/test.Service/Total", b"still here") == b"10"


def test_many_responses(channel: GrpcChannel) -> None:
    with channel.open("/test.Service/Count") as call:
        call.send(b"5000 100")
        call.finish_sending()
        for number in range(5000):
            assert call.receive() == b"%0100d" % number
        assert call.receive() is None
        assert call.receive() is None


def test_many_requests(channel: GrpcChannel) -> None:
    with channel.open("/test.Service/Total") as call:
        for _ in range(5000):
            call.send(b"x" * 1000)
        call.finish_sending()
        assert call.receive() == b"5000000"
        assert call.receive() is None


def test_both_ways_at_once(channel: GrpcChannel) -> None:
    with channel.open("/test.Service/Echo") as call:
        for number in range(200):
            call.send(b"%d" % number)
            assert call.receive() == b"%d" % number
        call.finish_sending()
        assert call.receive() is None


def test_metadata_there_and_back(channel: GrpcChannel) -> None:
    metadata = (("x-text", "ä=b"), ("x-raw-bin", bytes(range(256))), ("x-text", "again"))
    with channel.open("/test.Service/Echo", (*metadata, ("y", "not returned"))) as call:
        call.finish_sending()
        assert call.header() == metadata
        assert call.receive() is None


def test_a_status_with_details(channel: GrpcChannel) -> None:
    with pytest.raises(StatusError) as caught:
        call_unary(channel, "/test.Service/Fail", b"")
    error = caught.value
    assert (error.code, error.message) == (Code.FAILED_PRECONDITION, "nö: 100% of\nit")
    assert error.details == (DETAIL,)


def test_messages_ahead_of_a_failure_arrive(channel: GrpcChannel) -> None:
    with channel.open("/test.Service/FailLate") as call:
        assert call.receive() == b"first"
        with pytest.raises(StatusError, match="ABORTED: then this"):
            call.receive()


def test_unknown_methods(channel: GrpcChannel) -> None:
    with pytest.raises(StatusError) as caught:
        call_unary(channel, "/test.Service/Nothing", b"")
    assert caught.value.code is Code.UNIMPLEMENTED


def test_many_calls_at_once(channel: GrpcChannel) -> None:
    answers: dict[int, bytes] = {}

    def one(number: int) -> None:
        answers[number] = call_unary(channel, "/test.Service/Echo", b"%d" % number * 10000)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == {number: b"%d" % number * 10000 for number in range(64)}


def test_leaving_the_block_cancels(channel: GrpcChannel) -> None:
    with channel.open("/test.Service/Wait") as call:
        call.header()
    with pytest.raises(StatusError) as caught:
        call.receive()
    assert caught.value.code is Code.CANCELLED


def test_a_cancellation_ends_a_waiting_call(channel: GrpcChannel) -> None:
    cancel = Cancellation()
    with channel.open("/test.Service/Silent", cancel=cancel) as call:
        timer = threading.Timer(0.05, cancel.cancel)
        timer.start()
        with pytest.raises(StatusError) as caught:
            call.receive()
        timer.join()
    assert caught.value.code is Code.CANCELLED


def test_the_handler_learns_that_its_caller_has_gone(ends: Ends) -> None:
    reasons: list[str] = []
    gone = threading.Event()

    def handler(call: ServerCall) -> None:
        call.start()
        try:
            call.receive()
        except StatusError as error:
            assert call.cancel.cancelled
            reasons.append(error.code.name)
            gone.set()
            raise

    with GrpcServer(ends[1], {"/a.B/C": handler}, Peer("")), GrpcChannel(ends[0]) as channel:
        with channel.open("/a.B/C") as call:
            call.header()
        assert gone.wait(5)
    assert reasons == ["CANCELLED"]


def test_a_deadline(channel: GrpcChannel) -> None:
    with (
        channel.open("/test.Service/Wait", (("grpc-timeout", "50m"),)) as call,
        pytest.raises(StatusError) as caught,
    ):
        call.receive()
    assert caught.value.code is Code.DEADLINE_EXCEEDED


def test_an_answer_ends_the_request(channel: GrpcChannel) -> None:
    with channel.open("/test.Service/Early") as call:
        with pytest.raises(StatusError):
            for _ in range(100000):
                call.send(bytes(1000))
        assert call.receive() == b"enough"
        assert call.receive() is None


def test_a_slow_reader_holds_the_sender_back(ends: Ends) -> None:
    sent = 0
    first, go = threading.Event(), threading.Event()

    def handler(call: ServerCall) -> None:
        nonlocal sent
        for _ in range(400):
            call.send(bytes(64 << 10))
            sent += 1
            first.set()

    with (
        GrpcServer(ends[1], {"/a.B/C": handler}, Peer("")),
        GrpcChannel(ends[0]) as channel,
        channel.open("/a.B/C") as call,
    ):
        assert first.wait(5)
        before = -1
        while before != sent:
            before = sent
            go.wait(0.1)
        assert sent < 100  # a window, the send queue, and the kernel's buffers
        received = 0
        while call.receive() is not None:
            received += 1
        assert received == 400


def test_both_sides_flooding_each_other_go_on(channel: GrpcChannel) -> None:
    with channel.open("/test.Service/Echo") as call:

        def flood() -> None:
            for _ in range(400):
                call.send(bytes(64 << 10))
            call.finish_sending()

        thread = threading.Thread(target=flood)
        thread.start()
        time.sleep(0.3)
        received = 0
        while call.receive() is not None:
            received += 1
        thread.join(10)
        assert received == 400


def test_a_vanished_server(ends: Ends) -> None:
    with GrpcChannel(ends[0]) as channel:
        server = GrpcServer(ends[1], HANDLERS, Peer(""))
        with channel.open("/test.Service/Wait") as call:
            call.header()
            server.close()
            with pytest.raises(StatusError) as caught:
                call.receive()
            assert caught.value.code is Code.UNAVAILABLE
        assert channel.wait(5)
        assert channel.closed
        with pytest.raises(StatusError) as caught:
            channel.open("/test.Service/Echo")
        assert caught.value.code is Code.UNAVAILABLE


def test_draining_lets_running_calls_finish() -> None:
    ends = socket_ends()
    release = threading.Event()

    def handler(call: ServerCall) -> None:
        call.start()
        assert release.wait(5)
        call.send(b"done")

    server = GrpcServer(ends[1], {"/a.B/C": handler}, Peer(""))
    with GrpcChannel(ends[0]) as channel, channel.open("/a.B/C") as call:
        call.header()
        drained: list[bool] = []
        thread = threading.Thread(target=lambda: drained.append(server.drain(5)))
        thread.start()
        while not channel.closed:
            time.sleep(0.01)
        with pytest.raises(StatusError):
            channel.open("/a.B/C")
        release.set()
        assert call.receive() == b"done"
        assert call.receive() is None
        thread.join(5)
        assert drained == [True]
        assert channel.wait(5)


def test_a_failing_handler_reveals_nothing_and_others_continue(
    channel: GrpcChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(call: ServerCall) -> None:
        raise KeyError("secret")

    reported: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_type))
    monkeypatch.setitem(HANDLERS, "/test.Service/Bug", bug)
    with pytest.raises(StatusError) as caught:
        call_unary(channel, "/test.Service/Bug", b"")
    assert caught.value.code is Code.INTERNAL
    assert "secret" not in str(caught.value)
    assert reported == [KeyError]
    assert call_unary(channel, "/test.Service/Echo", b"on") == b"on"
