"""The gateway's messages about containers that a frontend runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.api import status
from lamina.api.status import Status
from lamina.base.named_tuple import NamedTuple
from lamina.llb import codec
from lamina.llb.op import (
    ExecMeta,
    HostIP,
    LLBPlatform,
    Mount,
    NetMode,
    SecretEnv,
    SecurityMode,
    WorkerConstraints,
)
from lamina.wire.fields import boolean, data, integer, integers, many, one, string

if TYPE_CHECKING:
    from lamina.wire.protobuf import Schema


class NewContainerRequest(NamedTuple):
    """A request for a container. The `result_id` of `mounts` are the IDs of refs."""

    container_id: str = ""
    mounts: tuple[Mount, ...] = ()
    network: NetMode = NetMode.UNSET
    platform: LLBPlatform | None = None
    constraints: WorkerConstraints | None = None
    extra_hosts: tuple[HostIP, ...] = ()
    hostname: str = ""


class NewContainerResponse(NamedTuple):
    pass


class ReleaseContainerRequest(NamedTuple):
    container_id: str = ""


class ReleaseContainerResponse(NamedTuple):
    pass


class InitMessage(NamedTuple):
    """Start a process. `fds` are the descriptors that will be transferred."""

    container_id: str = ""
    meta: ExecMeta | None = None
    fds: tuple[int, ...] = ()
    tty: bool = False
    security: SecurityMode = SecurityMode.SANDBOX
    secret_env: tuple[SecretEnv, ...] = ()


class ExitMessage(NamedTuple):
    code: int = 0
    error: Status | None = None


class StartedMessage(NamedTuple):
    pass


class DoneMessage(NamedTuple):
    """The last message of a process. Output may follow its exit, but not this message."""


class FdMessage(NamedTuple):
    fd: int = 0
    eof: bool = False
    data: bytes = b""


class ResizeMessage(NamedTuple):
    rows: int = 0
    cols: int = 0


class SignalMessage(NamedTuple):
    """Send a signal, by name without `SIG`: `INT`."""

    name: str = ""


class ExecMessage(NamedTuple):
    """A message about one process: exactly one of the members after its ID is set."""

    process_id: str = ""
    init: InitMessage | None = None
    file: FdMessage | None = None
    resize: ResizeMessage | None = None
    started: StartedMessage | None = None
    exit: ExitMessage | None = None
    done: DoneMessage | None = None
    signal: SignalMessage | None = None


SCHEMA: Schema = (
    codec.SCHEMA
    | status.SCHEMA
    | {
        NewContainerRequest: (
            string(1, "container_id"),
            many(2, "mounts", Mount),
            integer(3, "network", NetMode),
            one(4, "platform", LLBPlatform),
            one(5, "constraints", WorkerConstraints),
            many(6, "extra_hosts", HostIP),
            string(7, "hostname"),
        ),
        NewContainerResponse: (),
        ReleaseContainerRequest: (string(1, "container_id"),),
        ReleaseContainerResponse: (),
        InitMessage: (
            string(1, "container_id"),
            one(2, "meta", ExecMeta),
            integers(3, "fds"),
            boolean(4, "tty"),
            integer(5, "security", SecurityMode),
            many(6, "secret_env", SecretEnv),
        ),
        ExitMessage: (integer(1, "code"), one(2, "error", Status)),
        StartedMessage: (),
        DoneMessage: (),
        FdMessage: (integer(1, "fd"), boolean(2, "eof"), data(3, "data")),
        ResizeMessage: (integer(1, "rows"), integer(2, "cols")),
        SignalMessage: (string(1, "name"),),
        ExecMessage: (
            string(1, "process_id"),
            one(2, "init", InitMessage),
            one(3, "file", FdMessage),
            one(4, "resize", ResizeMessage),
            one(5, "started", StartedMessage),
            one(6, "exit", ExitMessage),
            one(7, "done", DoneMessage),
            one(8, "signal", SignalMessage),
        ),
    }
)
