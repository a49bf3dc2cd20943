"""Limits on the resources of a server that peers can use, while others are served."""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from lamina.wire import accepted, budget, listen
from lamina.wire import frames as h2
from lamina.wire.address import dial
from lamina.wire.budget import RECEIVED, ReceiveBudget
from lamina.wire.contract import Code, StatusError, call_unary
from lamina.wire.listen import Listener
from lamina.wire.messages import MAX_MESSAGE
from tests.wire.test_hostile import HELLO, RawClient, data, message, request
from tests.wire.wire_service import HANDLERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lamina.wire.client import GrpcChannel, OpenCall
    from lamina.wire.contract import ServerCall

ECHO = "/test.Service/Echo"


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"unix://{tmp_path}/s"


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def begin_message(channel: GrpcChannel, size: int, sent: int) -> OpenCall:
    """A call with `sent` bytes of a message of `size`."""
    call = channel.open(ECHO)
    with contextlib.suppress(Exception):  # the call may be ended meanwhile
        call._stream.send(struct.pack(">BL", 0, size) + bytes(sent))
    return call


def status_of(call: OpenCall) -> Code | None:
    """The status of an ended call; None if it is open."""
    if call._stream._fault is None:
        return None
    with pytest.raises(StatusError) as caught:
        call.receive()
    return caught.value.code


@pytest.fixture
def small_budget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(RECEIVED, "_max_connection", 4 << 20)
    monkeypatch.setattr(RECEIVED, "_max_process", 8 << 20)
    yield
    assert eventually(lambda: RECEIVED.held == 0)


@pytest.mark.usefixtures("small_budget")
def test_half_messages_of_one_connection_have_a_bound(address: str) -> None:
    """The oldest are ended, with a status that gives the reason; the connection continues."""
    with Listener(address, HANDLERS), dial(address) as channel:
        calls = [begin_message(channel, MAX_MESSAGE, 1 << 20) for _ in range(8)]
        assert eventually(lambda: sum(status_of(call) is not None for call in calls) >= 4)
        ended = [status for call in calls if (status := status_of(call)) is not None]
        assert set(ended) == {Code.RESOURCE_EXHAUSTED}
        assert status_of(calls[-1]) is None
        assert RECEIVED.held <= (4 << 20) + (1 << 20)
        assert call_unary(channel, ECHO, bytes(1 << 20)) == bytes(1 << 20)
        for call in calls:
            call.cancel()


@pytest.mark.usefixtures("small_budget")
def test_half_messages_of_many_connections_have_a_bound_in_all(address: str) -> None:
    """Clients that send complete messages are served meanwhile, and everything is freed when the
    others disconnect."""
    with Listener(address, HANDLERS), contextlib.ExitStack() as stack:
        channels = [stack.enter_context(dial(address)) for _ in range(8)]
        for channel in channels:
            for _ in range(3):
                begin_message(channel, MAX_MESSAGE, 1 << 20)
        assert RECEIVED.held <= (8 << 20) + (1 << 20)
        time.sleep(1.0)  # of equally old messages, the larger one would be ended
        with dial(address) as other:
            for _ in range(3):
                assert call_unary(other, ECHO, bytes(3 << 20)) == bytes(3 << 20)


@pytest.mark.usefixtures("small_budget")
def test_taken_messages_do_not_count_as_held(address: str) -> None:
    """Long calls that have received their message, and slow ones with progress, are not ended."""
    with Listener(address, {"/a.B/Wait": lambda call: wait_long(call)}), dial(address) as channel:
        calls = []
        for _ in range(6):
            call = channel.open("/a.B/Wait")
            call.send(bytes(2 << 20))
            assert call.receive() == b"taken"
            calls.append(call)
        assert RECEIVED.held < 1 << 20
        assert {status_of(call) for call in calls} == {None}
        for call in calls:
            call.finish_sending()
            assert call.receive() is None


def wait_long(call: ServerCall) -> None:
    assert len(call.receive() or b"") == 2 << 20
    call.send(b"taken")
    assert call.receive() is None


def test_the_one_without_progress_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        def __init__(self, held: int, held_since: float) -> None:
            self.held, self.held_since = held, held_since

    class Exchange:
        def __init__(self, *streams: Stream) -> None:
            self.open_streams = lambda: list(streams)

    now = time.monotonic()
    old: Any = Stream(1 << 20, now - 60)
    new: Any = Stream(1 << 20, now)
    session = Stream(1 << 10, now - 1e6)
    first: Any = Exchange(session, old)
    second: Any = Exchange(new)
    third: Any = Exchange(session)
    found = ReceiveBudget(8 << 20, 2 << 20)
    assert found.update(first, 1 << 20) is None
    assert found.update(second, 2 << 20) is old
    assert found.update(second, 1 << 20) is None  # it becomes less
    assert ReceiveBudget(1, 1).update(third, 2) is None
    assert budget.SMALL >= 64 << 10


def test_small_compressed_messages_are_unpacked_one_at_a_time(tmp_path: Path) -> None:
    """Two windows full of messages that expand to 16 MiB each, for a handler that reads none."""
    import gzip
    import tracemalloc

    bomb = message(gzip.compress(bytes(MAX_MESSAGE), 9), compressed=True)
    taken = threading.Event()

    def take_one(call: ServerCall) -> None:
        call.receive()
        taken.set()
        done.wait(20)

    done = threading.Event()
    with Listener(f"unix://{tmp_path}/s", {ECHO: take_one}):
        client = RawClient(tmp_path / "s")
        tracemalloc.start()
        try:
            client.send(HELLO, request(1, grpc_encoding=b"gzip"))
            client.send(*[data(1, bomb[:16000]), data(1, bomb[16000:] + bomb)])
            client.send(*[data(1, bomb[at : at + 16000]) for _ in range(20) for at in (0, 16000)])
            assert taken.wait(20)
            time.sleep(0.1)
            assert tracemalloc.get_traced_memory()[1] < 4 * MAX_MESSAGE
        finally:
            tracemalloc.stop()
            done.set()
            client.socket.close()


@pytest.fixture
def few_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "MAX_CONNECTIONS", 8)


@pytest.mark.usefixtures("few_connections")
@pytest.mark.parametrize("hello", [b"", HELLO], ids=["silent", "introduced"])
def test_idle_connections_do_not_block_others(address: str, tmp_path: Path, hello: bytes) -> None:
    """They are closed for others, the longest idle first; one with a call stays."""
    with Listener(address, HANDLERS), dial(address) as busy:
        waiting = busy.open(ECHO)
        waiting.send(b"1")
        assert waiting.receive() == b"1"
        idle = [RawClient(tmp_path / "s") for _ in range(20)]
        for client in idle:
            client.send(hello)
        for _ in range(10):
            with dial(address) as channel:
                assert call_unary(channel, ECHO, b"served") == b"served"
        waiting.send(b"2")
        assert waiting.receive() == b"2"
        waiting.cancel()
        for client in idle:
            client.socket.close()


@pytest.mark.usefixtures("few_connections")
def test_connections_with_calls_are_not_cut_for_others(address: str) -> None:
    with Listener(address, HANDLERS), contextlib.ExitStack() as stack:
        calls = []
        for _ in range(8):
            calls.append(stack.enter_context(dial(address)).open(ECHO))
            calls[-1].send(b"1")
            assert calls[-1].receive() == b"1"
        with dial(address) as late, pytest.raises(StatusError):
            call_unary(late, ECHO, b"")
        for call in calls:
            call.send(b"2")
            assert call.receive() == b"2"
            call.cancel()


@pytest.mark.parametrize("hello", [b"", h2.PREFACE[:10], h2.PREFACE], ids=["none", "half", "part"])
def test_a_handshake_takes_bounded_time(
    tmp_path: Path, address: str, hello: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted, "HANDSHAKE", 0.3)
    monkeypatch.setattr(listen, "_PERIOD", 0.05)
    with Listener(address, HANDLERS), dial(address) as bystander:
        client = RawClient(tmp_path / "s")
        client.send(hello)
        while client.next(h2.SETTINGS, h2.WINDOW_UPDATE, h2.GOAWAY) is not None:
            pass  # until the server has gone
        client.socket.close()
        assert call_unary(bystander, ECHO, b"served") == b"served"


def test_a_peer_that_answers_no_ping_is_gone_and_one_that_does_may_be_silent(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted, "KEEPALIVE_TIME", 0.2)
    monkeypatch.setattr(accepted, "KEEPALIVE_TIMEOUT", 0.3)
    monkeypatch.setattr(listen, "_PERIOD", 0.05)
    with Listener(address, HANDLERS), dial(address) as silent:
        waiting = silent.open("/test.Service/Total")
        waiting.send(b"1")
        dead = RawClient(tmp_path / "s")
        dead.send(HELLO, request(1))
        assert dead.next(h2.PING) is not None
        assert dead.next(h2.GOAWAY) is not None
        assert dead.next(h2.PING) is None
        dead.socket.close()
        time.sleep(1.0)  # several times the required time
        waiting.finish_sending()
        assert waiting.receive() == b"1"
