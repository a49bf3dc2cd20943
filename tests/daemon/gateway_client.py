"""A frontend in the tests' process that runs containers, as buildx's debugger is one."""

from __future__ import annotations

import os
import queue
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lamina.api import container as api
from lamina.api import control, gateway
from lamina.api.message import receive, unary
from lamina.client.contract import SessionProviders
from lamina.client.providers import EmbeddedSession
from lamina.llb.op import ExecMeta, Mount
from lamina.session.opening import new_session_id, open_session
from lamina.session.services import health_service, session_services
from lamina.wire.contract import StatusError
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lamina.wire.client import GrpcChannel
    from lamina.wire.contract import ClientCall

BUILD = "buildkit-controlapi-buildid"


class GatewayClient:
    """The frontend of the build `ref`."""

    def __init__(self, channel: GrpcChannel, ref: str) -> None:
        self.channel = channel
        self.metadata = ((BUILD, ref),)
        self.given = False

    def call(self, method: str, request: Any, response: type) -> Any:
        return unary(
            self.channel, method, request, response, gateway.SCHEMA, metadata=self.metadata
        )

    def solve(self, **fields: Any) -> gateway.Ref:
        request = gateway.SolveRequest(
            allow_result_return=True, allow_result_array_ref=True, **fields
        )
        answer = self.call(gateway.SOLVE, request, gateway.SolveResponse)
        assert answer.result is not None
        return answer.result.ref or gateway.Ref()

    def target(self, name: str) -> gateway.Ref:
        """A stage of the Dockerfile."""
        return self.solve(frontend="dockerfile.v0", frontend_opt=(("target", name),))

    def give(self, ref: gateway.Ref | None = None) -> None:
        self.given = True
        result = gateway.Result(ref=ref or gateway.Ref())
        self.call(gateway.RETURN, gateway.ReturnRequest(result), gateway.ReturnResponse)

    def container(self, *mounts: Mount, **fields: Any) -> str:
        name = os.urandom(4).hex()
        request = api.NewContainerRequest(name, mounts, **fields)
        self.call(gateway.NEW_CONTAINER, request, api.NewContainerResponse)
        return name

    def release(self, name: str) -> None:
        request = api.ReleaseContainerRequest(name)
        self.call(gateway.RELEASE_CONTAINER, request, api.ReleaseContainerResponse)

    def read_file(self, container: str, path: str, index: int = 0) -> bytes:
        request = gateway.ReadFileRequest(container, path, mount_index=index)
        answer = self.call(gateway.READ_FILE_CONTAINER, request, gateway.ReadFileResponse)
        data: bytes = answer.data
        return data

    def read_dir(self, container: str, path: str, index: int = 0) -> list[str]:
        request = gateway.ReadDirRequest(container, path, mount_index=index)
        answer = self.call(gateway.READ_DIR_CONTAINER, request, gateway.ReadDirResponse)
        return [entry.path for entry in answer.entries]

    def stat(self, container: str, path: str, index: int = 0) -> Any:
        request = gateway.StatFileRequest(container, path, index)
        answer = self.call(gateway.STAT_FILE_CONTAINER, request, gateway.StatFileResponse)
        return answer.stat

    @contextmanager
    def processes(self) -> Iterator[Processes]:
        """A stream for processes, which they end with."""
        with self.channel.open(gateway.EXEC_PROCESS, self.metadata) as call:
            stream = Processes(call)
            yield stream
            call.cancel()
        stream.thread.join(20)
        assert not stream.thread.is_alive()


class Processes:
    """A stream. `failure` is how the call ended, if not in order."""

    def __init__(self, call: ClientCall) -> None:
        self.call = call
        self.failure: StatusError | None = None
        self._known: dict[str, Process] = {}
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def start(
        self,
        container: str,
        *args: str,
        fds: tuple[int, ...] = (1, 2),
        env: tuple[str, ...] = ("PATH=/bin",),
        meta: ExecMeta | None = None,
        **fields: Any,
    ) -> Process:
        process = Process(self, os.urandom(4).hex())
        self._known[process.name] = process
        meta = meta or ExecMeta(args, env)
        process.tell(init=api.InitMessage(container, meta, fds, **fields))
        return process

    def send(self, message: api.ExecMessage) -> None:
        self.call.send(encode(message, api.SCHEMA))

    def _read(self) -> None:
        try:
            while (message := receive(self.call, api.ExecMessage, api.SCHEMA)) is not None:
                self._known[message.process_id].inbox.put(message)
        except StatusError as error:
            self.failure = error
        for process in self._known.values():
            process.inbox.put(None)


class Process:
    """A process by the messages about it."""

    def __init__(self, stream: Processes, name: str) -> None:
        self.stream = stream
        self.name = name
        self.inbox: queue.Queue[api.ExecMessage | None] = queue.Queue()
        self.order: list[str] = []  # the kinds of messages
        self.outputs: dict[int, bytes] = {}
        self.exit: api.ExitMessage | None = None

    def tell(self, **member: Any) -> None:
        self.stream.send(api.ExecMessage(self.name)._replace(**member))

    def write(self, data: bytes) -> None:
        self.tell(file=api.FdMessage(0, data=data))

    def finish_input(self) -> None:
        self.tell(file=api.FdMessage(0, eof=True))

    def signal(self, name: str) -> None:
        self.tell(signal=api.SignalMessage(name))

    def resize(self, columns: int, rows: int) -> None:
        self.tell(resize=api.ResizeMessage(rows, columns))

    def next(self) -> api.ExecMessage | None:
        message = self.inbox.get(timeout=30)
        if message is not None:
            kinds = [k for k, v in message._asdict().items() if v is not None and k != "process_id"]
            self.order += kinds
            if message.file is not None:
                before = self.outputs.get(message.file.fd, b"")
                self.outputs[message.file.fd] = before + message.file.data
            self.exit = message.exit or self.exit
        return message

    def until(self, text: bytes, fd: int = 1) -> None:
        while text not in self.outputs.get(fd, b""):
            assert self.next() is not None, (self.outputs, self.stream.failure)

    def wait(self) -> int:
        """The exit code, when all is done."""
        while (message := self.next()) is not None and message.done is None:
            continue
        assert message is not None, (self.outputs, self.stream.failure)
        assert self.exit is not None
        return self.exit.code

    @property
    def error(self) -> str:
        assert self.exit is not None
        return "" if self.exit.error is None else self.exit.error.message


@contextmanager
def gateway_build(
    channel: GrpcChannel,
    folder: Path,
    ref: str,
    *,
    providers: SessionProviders | None = None,
    entitlements: tuple[str, ...] = (),
) -> Iterator[GatewayClient]:
    """A build whose frontend is the block. It gives an empty result, unless the block gives one."""
    session = EmbeddedSession(
        {"context": str(folder), "dockerfile": str(folder)}, providers or SessionProviders()
    )
    session_id = new_session_id()
    request = control.SolveRequest(ref=ref, session=session_id, entitlements=entitlements)
    failures: list[StatusError] = []

    def run() -> None:
        try:
            unary(channel, control.SOLVE, request, control.SolveResponse, control.SCHEMA)
        except StatusError as error:
            failures.append(error)

    with open_session(channel, {**session_services(session), **health_service()}, session_id):
        thread = threading.Thread(target=run)
        thread.start()
        client = GatewayClient(channel, ref)
        try:
            yield client
        finally:
            if not client.given:
                client.give()
            thread.join(60)
        assert not thread.is_alive()
        assert failures == []
