"""An agent's socket with another owner: connections are forwarded, and end correctly."""

from __future__ import annotations

import os
import socket
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from lamina.ops.agent_relay import relayed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[str]:
    """A server that sends received data back until the end of the connection."""
    path = str(tmp_path / "agent")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(1000):
                connection.sendall(data)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    yield path
    listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    listener.close()


def connected(path: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    return client


def test_bytes_go_both_ways_under_the_new_owner(echo: str, tmp_path: Path) -> None:
    with relayed(echo, str(tmp_path / "s"), 100, 102, 0o741) as path:
        status = os.stat(path)
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (100, 102, 0o741)
        with connected(path) as first, connected(path) as second:
            for number, client in enumerate((first, second)):
                client.sendall(b"hello %d" % number)
            assert second.recv(100) == b"hello 1"
            assert first.recv(100) == b"hello 0"
            first.shutdown(socket.SHUT_WR)
            assert first.recv(100) == b""
    assert not os.path.exists(path)


def test_open_connections_end_with_the_block(echo: str, tmp_path: Path) -> None:
    before = threading.active_count()
    with relayed(echo, str(tmp_path / "s"), 0, 0, 0o600) as path:
        client = connected(path)
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        served = threading.active_count()
    with client:
        assert client.recv(1) == b""
    assert served > before
    assert not [t for t in threading.enumerate() if t.name == "ssh-relay"]


def test_an_agent_that_is_gone(tmp_path: Path) -> None:
    with (
        relayed(str(tmp_path / "none"), str(tmp_path / "s"), 0, 0, 0o600) as path,
        connected(path) as client,
    ):
        assert client.recv(1) == b""
