"""Containers that a client of the gateway runs in its build."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lamina.api import container as api
from lamina.api import gateway
from lamina.api.failures import from_status
from lamina.api.message import receive, unary
from lamina.wire.contract import Code, StatusError
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Channel, ClientCall, Metadata


class GatewayContainers:
    """The containers of one build. All methods raise members of `lamina.base.errors`."""

    def __init__(
        self, channel: Channel, metadata: Metadata, cancel: Cancellation | None = None
    ) -> None:
        self._channel = channel
        self._metadata = metadata
        self._cancel = cancel

    @contextmanager
    def container(self, request: api.NewContainerRequest) -> Iterator[str]:
        """Make a container for the block. Returns its ID; that of the request is ignored."""
        name = os.urandom(16).hex()
        self._call(
            gateway.NEW_CONTAINER,
            request._replace(container_id=name),
            api.NewContainerResponse,
        )
        try:
            yield name
        finally:
            with suppress(StatusError):  # the error of its first failed process, which is known
                self._call(
                    gateway.RELEASE_CONTAINER,
                    api.ReleaseContainerRequest(name),
                    api.ReleaseContainerResponse,
                )

    @contextmanager
    def running(
        self, init: api.InitMessage, output: Callable[[bytes], None]
    ) -> Iterator[ContainerProcess]:
        """Run a process during the block. `output` is called by a thread, with all its output."""
        with self._channel.open(gateway.EXEC_PROCESS, self._metadata, self._cancel) as call:
            process = ContainerProcess(call, output)
            process.start(init)
            yield process

    def _call(self, method: str, request: object, response: type) -> None:
        unary(
            self._channel,
            method,
            request,
            response,
            gateway.SCHEMA,
            metadata=self._metadata,
            cancel=self._cancel,
        )


class ContainerProcess:
    """A process of a container. Made by `GatewayContainers.running`."""

    def __init__(self, call: ClientCall, output: Callable[[bytes], None]) -> None:
        self._call = call
        self._output = output
        self._name = os.urandom(8).hex()
        self._exit: api.ExitMessage | None = None
        self._failure: StatusError | None = None
        self._thread = threading.Thread(target=self._read, name="container-process", daemon=True)

    def start(self, init: api.InitMessage) -> None:
        self._send(api.ExecMessage(self._name, init=init))
        self._thread.start()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def write(self, data: bytes) -> None:
        self._send(api.ExecMessage(self._name, file=api.FdMessage(0, data=data)))

    def resize(self, columns: int, rows: int) -> None:
        self._send(api.ExecMessage(self._name, resize=api.ResizeMessage(rows, columns)))

    def wait(self) -> api.ExitMessage:
        """Wait for the end. Raises the error of the call."""
        self._thread.join()
        if self._exit is None:
            raise from_status(self._failure or StatusError(Code.UNAVAILABLE, "the build is over"))
        return self._exit

    def _send(self, message: api.ExecMessage) -> None:
        try:
            self._call.send(encode(message, gateway.SCHEMA))
        except StatusError as error:
            self._failure = self._failure or error

    def _read(self) -> None:
        try:
            while (message := receive(self._call, api.ExecMessage, gateway.SCHEMA)) is not None:
                if message.file is not None and message.file.data:
                    self._output(message.file.data)
                self._exit = message.exit or self._exit
                if message.done is not None:
                    return
        except StatusError as error:
            self._failure = error
