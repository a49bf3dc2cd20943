"""Listeners, and their addresses."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import AlreadyExists, InvalidInput, NotFound, Unavailable
from lamina.wire.address import dial
from lamina.wire.contract import ServerCall, StatusError, call_unary
from lamina.wire.listen import Listener
from tests.wire.wire_service import HANDLERS

if TYPE_CHECKING:
    from pathlib import Path


def say_peer(call: ServerCall) -> None:
    call.receive()
    call.send(call.peer.address.encode())


def test_a_unix_socket_is_private_and_removed_with_its_listener(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Listener(f"unix://{path}", {"/a.B/Peer": say_peer}):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with dial(f"unix://{path}") as channel:
            answer = call_unary(channel, "/a.B/Peer", b"")
        assert answer == f"unix:pid={os.getpid()},uid={os.getuid()}".encode()
    assert not path.exists()


def test_a_group_may_use_it(tmp_path: Path) -> None:
    path = tmp_path / "s"
    group = os.getgroups()[0] if os.getgroups() else os.getgid()
    with Listener(f"unix://{path}", HANDLERS, group=group):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert path.stat().st_gid == group


def test_a_socket_in_use_is_not_taken(tmp_path: Path) -> None:
    address = f"unix://{tmp_path}/s"
    with Listener(address, HANDLERS):
        with pytest.raises(AlreadyExists):
            Listener(address, HANDLERS)
        with dial(address) as channel:
            assert call_unary(channel, "/test.Service/Echo", b"x") == b"x"


def test_a_socket_of_another_program_is_not_taken(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "s"))
        other.listen(1)
        with pytest.raises(AlreadyExists):
            Listener(f"unix://{tmp_path}/s", HANDLERS)
    (tmp_path / "file").write_text("precious")
    with pytest.raises(AlreadyExists):
        Listener(f"unix://{tmp_path}/file", HANDLERS)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    address = f"unix://{tmp_path}/s"
    with Listener(address, HANDLERS), dial(address) as channel:
        assert call_unary(channel, "/test.Service/Echo", b"x") == b"x"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_tcp(host: str) -> None:
    try:
        listener = Listener(f"tcp://{host}:0", HANDLERS)
    except Unavailable:
        pytest.skip("no such family here")
    with listener, dial(listener.address) as channel:
        assert call_unary(channel, "/test.Service/Echo", b"x") == b"x"
        with pytest.raises(AlreadyExists, match="listen on"):
            Listener(listener.address, HANDLERS)


@pytest.mark.parametrize("address", ["s", "http://x", "unix://", "tcp://host", "tcp://h:99999"])
def test_invalid_addresses_are_refused(address: str) -> None:
    with pytest.raises(InvalidInput):
        dial(address)


def test_no_server(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        dial(f"unix://{tmp_path}/s")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable):
            dial("tcp://127.0.0.1:{1}".format(*unused.getsockname()))


def test_closing_ends_connections_in_the_middle_of_calls(tmp_path: Path) -> None:
    address = f"unix://{tmp_path}/s"
    listener = Listener(address, HANDLERS)
    channels = [dial(address) for _ in range(5)]
    calls = [channel.open("/test.Service/Wait") for channel in channels]
    for call in calls:
        call.header()
    listener.close()
    for channel, call in zip(channels, calls, strict=True):
        with call, pytest.raises(StatusError):
            call.receive()
        channel.close()


def test_draining(tmp_path: Path) -> None:
    release = threading.Event()

    def handler(call: ServerCall) -> None:
        call.start()
        assert release.wait(5)
        call.send(b"done")

    address = f"unix://{tmp_path}/s"
    listener = Listener(address, {"/a.B/C": handler})
    with dial(address) as idle, dial(address) as channel, channel.open("/a.B/C") as call:
        call.header()
        results: list[bool] = []
        thread = threading.Thread(target=lambda: results.append(listener.drain(10)))
        thread.start()
        assert idle.wait(5)
        with pytest.raises(NotFound):
            dial(address)
        release.set()
        assert call.receive() == b"done"
        assert call.receive() is None
        thread.join(10)
    assert results == [True]


def test_a_drain_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    address = f"unix://{tmp_path}/s"
    listener = Listener(address, HANDLERS)
    with dial(address) as channel, channel.open("/test.Service/Wait") as call:
        call.header()
        assert listener.drain(0.2) is False
        with pytest.raises(StatusError):
            call.receive()


PASSED = """
import os, sys
from lamina.wire.listen import Listener
os.environ["LISTEN_PID"] = str(os.getpid())
os.dup2(int(sys.argv[1]), 3)
def echo(call):
    call.send(call.receive())
with Listener(sys.argv[2], {"/a.B/C": echo}):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("address", ["fd://", "fd://3", "fd://lamina.socket"])
def test_a_passed_socket(tmp_path: Path, address: str) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        command = [sys.executable, "-c", PASSED, str(listening.fileno()), address]
        environment = {**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "lamina.socket"}
        with subprocess.Popen(
            command,
            pass_fds=[listening.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == "ready\n"
            with dial(f"unix://{tmp_path}/s") as channel:
                assert call_unary(channel, "/a.B/C", b"x") == b"x"
            process.stdin.close()
            assert process.wait(10) == 0


def test_no_passed_socket() -> None:
    with pytest.raises(InvalidInput):
        Listener("fd://", HANDLERS)


@pytest.mark.timeout(60)
def test_a_silent_client_does_not_block_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamina.wire.listen._END", 600.0)
    address = f"unix://{tmp_path}/s"
    with Listener(address, HANDLERS) as listener, socket.socket(socket.AF_UNIX) as mute:
        mute.connect(str(tmp_path / "s"))
        with dial(address) as channel:
            assert call_unary(channel, "/test.Service/Echo", b"x") == b"x"
        listener.close()
