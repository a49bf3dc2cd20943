"""Containers of images in an embedded builder's store."""

from __future__ import annotations

import signal
import socket
import subprocess
from typing import IO, TYPE_CHECKING, TypedDict

from lamina.base.errors import Internal, InvalidInput
from lamina.base.named_tuple import NamedTuple
from lamina.builder.child_process import start_module
from lamina.builder.engine_calls import Outcome, dump, load
from lamina.builder.owning_process import OwningProcess
from lamina.cli.run_command import parse_volume
from lamina.client.contract import RunRequest
from lamina.states.arguments import (
    PAIRS,
    SPECIFICATIONS,
    SWITCH,
    TEXT,
    TEXTS,
    check_arguments,
    check_options,
)
from lamina.states.caller import at_caller
from lamina.states.run import NETWORKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.states.arguments import Kind

_STOP_SECONDS = 10.0
_LIMIT = 1 << 20
_SIGNALLED = 128


class RunOptions(TypedDict, total=False):
    """The options of containers. They mean what the flags of `lamina run` mean.

    env: further variables.
    cwd: the working directory.
    user: `name|uid[:group|gid]`.
    entrypoint: in place of that of the image; an empty one drops it.
    network: `default`, `none` or `host`.
    hostname: the name of the host in the container.
    volumes: `host:container[:ro]`.
    readonly: whether the root file system is read-only.
    """

    env: Mapping[str, str]
    cwd: str
    user: str
    entrypoint: Sequence[str]
    network: str
    hostname: str
    volumes: Sequence[str]
    readonly: bool


_OPTIONS: Mapping[str, Kind] = {
    "env": PAIRS,
    "cwd": TEXT,
    "user": TEXT,
    "entrypoint": TEXTS,
    "network": TEXT,
    "hostname": TEXT,
    "volumes": SPECIFICATIONS,
    "readonly": SWITCH,
}


def run_request(
    image: str, command: Sequence[str], options: RunOptions, *, interactive: bool
) -> RunRequest:
    """Raises InvalidInput, NotFound."""
    check_arguments("run", {"image": TEXT, "command": TEXTS}, image=image, command=command)
    check_options("run", _OPTIONS, options)
    network = options.get("network", "default")
    if network not in NETWORKS:
        hint = f"use {' or '.join(NETWORKS)}"
        raise at_caller(InvalidInput(f'run: unknown network "{network}"', hint=hint))
    entrypoint = options.get("entrypoint")
    return RunRequest(
        image,
        tuple(command),
        tuple(options.get("env", {}).items()),
        options.get("cwd", ""),
        options.get("user", ""),
        None if entrypoint is None else tuple(entrypoint),
        network,
        options.get("hostname", ""),
        tuple(map(parse_volume, options.get("volumes", ()))),
        options.get("readonly", False),
        interactive=interactive,
    )


class CompletedContainer(NamedTuple):
    """A container that has ended. `exit_code` is 128 + N if signal N killed its command."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Container:
    """A running container. Use it in a `with` block: leaving it stops the container.

    `stdin`, `stdout` and `stderr` are pipes if they were requested, else None.
    """

    def __init__(
        self,
        root: str,
        request: RunRequest,
        *,
        stdin: int | IO[bytes] | None,
        stdout: int | IO[bytes] | None,
        stderr: int | IO[bytes] | None,
    ) -> None:
        self._ended: Outcome | None = None
        self._owner = OwningProcess()
        self._process, self._outcome = start_module(
            "lamina.builder.container_process", root, stdin=stdin, stdout=stdout, stderr=stderr
        )
        self._outcome.sendall(dump(request))
        self._outcome.shutdown(socket.SHUT_WR)
        self.stdin, self.stdout, self.stderr = (
            self._process.stdin,
            self._process.stdout,
            self._process.stderr,
        )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def communicate(
        self, data: bytes | None = None, timeout: float | None = None
    ) -> CompletedContainer:
        """Send `data` to standard input, and wait for the end.

        Raises the error of a container that could not be started, TimeoutError.
        """
        self._owner.check("container")
        try:
            out, err = self._process.communicate(data, timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the container still runs after {timeout} s") from None
        return CompletedContainer(self._status(), out or b"", err or b"")

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Returns the exit status. Raises as `communicate`."""
        self._owner.check("container")
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the container still runs after {timeout} s") from None
        return self._status()

    def send_signal(self, number: int) -> None:
        """Send a signal to the command."""
        self._owner.check("container")
        self._process.send_signal(number)

    def stop(self, timeout: float = _STOP_SECONDS) -> None:
        """Send SIGTERM, and SIGKILL after `timeout` seconds. Wait for the end."""
        self._owner.check("container")
        if self.running:
            self.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._owner.is_current:
            return
        self.stop()
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self._outcome.close()

    def _status(self) -> int:
        if self._ended is None:
            data = b""
            while piece := self._outcome.recv(_LIMIT):
                data += piece
            status = self._process.returncode
            if data:
                self._ended = load(data)
            elif status < 0:
                self._ended = Outcome(_SIGNALLED - status)
            else:
                reason = f"the container's process ended with status {status}"
                self._ended = Outcome(error=Internal(reason))
        if self._ended.error is not None:
            raise self._ended.error
        code: int = self._ended.result
        return code
