"""Connecting, which another thread can abort."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lamina.base.errors import Cancelled
from lamina.system.cancel import Cancellation
from lamina.system.network import SocketGuard, connect


def test_responses_end_with_the_guard() -> None:
    guard, cancel = SocketGuard(), Cancellation()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        ThreadPoolExecutor(1) as threads,
        connect("127.0.0.1", server.getsockname()[1], 5, guard, cancel) as connected,
    ):
        waiting = threads.submit(connected.recv, 1)
        threading.Timer(0.1, guard.abort).start()
        assert waiting.result(5) == b""
        with pytest.raises(ConnectionAbortedError):
            guard.watch(connected)
        guard.close()


@pytest.mark.timeout(60)
def test_connecting_ends_with_its_cancellation() -> None:
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        for filler in (first, second):  # then the kernel accepts no more connections
            filler.setblocking(False)
            filler.connect_ex(address)
        guard, cancel = SocketGuard(), Cancellation()
        threading.Timer(0.2, cancel.cancel).start()
        with pytest.raises(Cancelled), guard.cancelled_by(cancel):
            connect("127.0.0.1", address[1], 3600, guard, cancel)


def test_looking_up_a_name_ends_with_its_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: done.wait(20))
    cancel = Cancellation()
    threading.Timer(0.1, cancel.cancel).start()
    with pytest.raises(Cancelled):
        connect("registry.invalid", 443, 30, SocketGuard(), cancel)
    done.set()


def test_the_next_address_is_tried_and_the_last_failure_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            other = closed.getsockname()[1]
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", number))
            for number in (other, port)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        guard = SocketGuard()
        with connect("localhost", port, 5, guard, Cancellation()) as connected:
            assert connected.getpeername()[1] == port
        found.pop()
        with pytest.raises(ConnectionRefusedError):
            connect("localhost", port, 5, guard, Cancellation())
        guard.close()
