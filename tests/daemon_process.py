"""A daemon as a separate process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from lamina.wire.address import dial

if TYPE_CHECKING:
    from pathlib import Path

    from lamina.wire.client import GrpcChannel


class DaemonProcess:
    """Starts at once and is ready when the constructor returns. Use it in a `with` block.

    `log` is its output so far.

    Args:
        within: a command that executes it, like `unshare`.
    """

    def __init__(
        self,
        root: Path,
        *args: str,
        env: dict[str, str] | None = None,
        socket_name: str = "d.sock",
        within: tuple[str, ...] = (),
    ) -> None:
        self.root = root
        self.address = f"unix://{root.parent}/{socket_name}"
        self.log = ""
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = f"{root.parent}/n-{os.urandom(4).hex()}"
        notify.bind(path)
        notify.settimeout(0.2)
        self._notify = notify
        command = [*within, sys.executable, "-m", "lamina", "daemon", "--root", str(root)]
        self._log_path = root.parent / f"log-{os.urandom(4).hex()}"
        with open(self._log_path, "w") as log:
            self.process = subprocess.Popen(
                [*command, "--addr", self.address, *args],
                env={
                    **os.environ,
                    "LAMINA_CONFIG": os.devnull,
                    "NOTIFY_SOCKET": path,
                    **(env or {}),
                },
                stderr=log,
            )
        self.wait_for("READY=1")

    def wait_for(self, state: str) -> None:
        """Wait until it notifies its supervisor of a state."""
        while True:
            try:
                if self._notify.recv(100).decode() == state:
                    break
            except TimeoutError:
                if self.process.poll() is not None:
                    raise AssertionError(self.read_log()) from None
        self.read_log()

    def read_log(self) -> str:
        self.log = self._log_path.read_text()
        return self.log

    def dial(self) -> GrpcChannel:
        return dial(self.address)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        self.read_log()
        return status

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> DaemonProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._notify.close()
