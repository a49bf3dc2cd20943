"""SIGTERM and SIGINT end a build at once, whatever server it waits for, however slow."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.commands import Lamina, RemoteLamina
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Iterator


_TIMEOUT = 20.0  # seconds; less than lamina's time-out for a server
_STEP = 0.05  # seconds between two bytes of the slow server
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\n"
    b"Content-Length: 100000\r\n\r\n"
)


class SlowServer:
    """Accepts connections and answers in one of several ways that never end.

    silent: not at all. head: the headers byte by byte. body: the content byte by byte. unreachable:
    it does not even accept (as a host behind a firewall that drops packets).
    """

    def __init__(self, manner: str) -> None:
        self.manner = manner
        self.asked = threading.Event()
        self._stopped = threading.Event()
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(0 if manner == "unreachable" else 16)
        self.port = self._socket.getsockname()[1]
        self.filling: list[socket.socket] = []
        if manner == "unreachable":
            for _ in range(3):  # then the kernel accepts no more connections
                filler = socket.socket()
                filler.setblocking(False)
                with suppress(BlockingIOError):
                    filler.connect(("127.0.0.1", self.port))
                self.filling.append(filler)
            self.asked.set()
        self._accepting = threading.Thread(target=self._accept)
        if manner != "unreachable":
            self._accepting.start()

    def close(self) -> None:
        """Close it. A thread that stayed in `accept` would accept connections of the next socket
        with the same number, when a signal makes the kernel restart the call."""
        self._stopped.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self.manner != "unreachable":
            self._accepting.join()
        self._socket.close()
        for filler in self.filling:
            filler.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connected, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        with connected, suppress(OSError):
            connected.recv(65536)
            self.asked.set()
            if self.manner == "body":
                connected.sendall(_HEAD)
            elif self.manner == "head":
                connected.sendall(b"HTTP/1.1 200 OK\r\nX-Name: ")
            while not self._stopped.wait(_STEP):
                if self.manner != "silent":
                    connected.sendall(b" ")


@pytest.fixture(params=["silent", "head", "body", "unreachable"])
def server(request: pytest.FixtureRequest) -> Iterator[SlowServer]:
    server = SlowServer(request.param)
    yield server
    server.close()


DOCKERFILES = {
    "image": "FROM 127.0.0.1:{port}/x:1\n",
    "frontend": "# syntax=127.0.0.1:{port}/x:1\nFROM scratch\n",
    "file": "FROM scratch\nADD http://127.0.0.1:{port}/file /\n",
    "TLS": "FROM scratch\nADD https://127.0.0.1:{port}/file /\n",
    "repository": "FROM scratch\nADD http://127.0.0.1:{port}/x.git /\n",
}


def interrupted(command: list[str], env: dict[str, str], server: SlowServer, number: int) -> int:
    """The exit status of a command that gets a signal when it waits for the server."""
    process = subprocess.Popen(
        command, env=env, stderr=subprocess.DEVNULL, preexec_fn=_default_signals
    )
    try:
        assert server.asked.wait(20)
        wait_for_handler(process, number)
        time.sleep(1.0 if server.filling else 0.3)  # until it waits
        assert process.poll() is None
        process.send_signal(number)
        return process.wait(_TIMEOUT)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_for_handler(process: subprocess.Popen[bytes], number: int) -> None:
    """Wait until a process handles a signal, which it does not when it starts."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        status = Path(f"/proc/{process.pid}/status").read_text()
        [caught] = [line for line in status.splitlines() if line.startswith("SigCgt:")]
        if int(caught.split()[1], 16) >> (number - 1) & 1:
            return
        time.sleep(0.02)
    raise AssertionError(f"the process does not handle signal {number}")


def _default_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("what", DOCKERFILES)
def test_an_embedded_build_ends(
    server: SlowServer, what: str, number: signal.Signals, tmp_path: Path
) -> None:
    if what == "TLS" and server.manner in ("head", "body"):
        pytest.skip("TLS refuses their first byte")
    (tmp_path / "Dockerfile").write_text(DOCKERFILES[what].format(port=server.port))
    lamina = Lamina(tmp_path / "store")
    command = lamina.command("build", "--progress=plain", str(tmp_path))
    assert interrupted(command, lamina.environment(), server, number) == 128 + number


@pytest.mark.parametrize("what", ["image", "file", "repository"])
def test_a_client_and_its_daemon_end(server: SlowServer, what: str, tmp_path: Path) -> None:
    """The daemon continues when the client ends, and ends itself during a build."""
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILES[what].format(port=server.port))
    with DaemonProcess(tmp_path / "store", "--drain-timeout", "0s") as daemon:
        client = RemoteLamina(tmp_path, daemon.address)
        command = client.command("build", "--progress=plain", str(folder))
        env = client.environment()
        assert interrupted(command, env, server, signal.SIGTERM) == 128 + signal.SIGTERM
        with daemon.dial() as channel:
            assert not channel.closed
        server.asked.clear() if not server.filling else None
        with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as second:
            assert server.asked.wait(20)
            time.sleep(0.5)
            daemon.process.send_signal(signal.SIGTERM)
            assert daemon.process.wait(_TIMEOUT) == 0
            assert second.wait(20) == 1
