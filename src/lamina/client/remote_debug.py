"""`lamina build --debug` with a daemon: a shell in a container with what a failed step left.

The frontend runs in the builder, but this client requests it by the gateway API, so that it learns
the ids of the results of the failed step. The shell's start-up file is in /dev/shm, where every
user can write.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

from lamina.api import container as api
from lamina.api import errors as typed
from lamina.base.digest import digest_of
from lamina.base.errors import LaminaError
from lamina.base.named_tuple import NamedTuple
from lamina.client.frontend_attributes import FRONTEND
from lamina.client.linked_results import refs_of
from lamina.llb.codec import decode_op
from lamina.llb.op import DESCRIPTION_NAME, ExecMeta
from lamina.runtime.terminal import raw_mode, size_of
from lamina.system.descriptors import write_all
from lamina.wire.contract import StatusError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    from lamina.api import gateway
    from lamina.base.events import EventSink
    from lamina.client.contract import BuildOutcome, BuildRequest, BuildRunner
    from lamina.gateway.client import GatewayClient
    from lamina.gateway.containers import ContainerProcess
    from lamina.llb.op import Definition, ExecOp, Op
    from lamina.system.cancel import Cancellation

_RETRY = 86
_START = f"alias retry='exit {_RETRY}'\n"
_FILE = "/dev/shm/.lamina-start"
_SCRIPT = 'printf %s "$LAMINA_START" > "$ENV"; unset LAMINA_START; exec /bin/sh -i'
_HELP = "`retry` builds again from this step, `exit` gives up."
_POLL = 200  # milliseconds
_CHUNK = 1 << 16
_NO_PROGRAM = (126, 127)


class FailedCommand(NamedTuple):
    """A failed exec op: its name, and the ids of its mounts' results after it failed."""

    name: str
    op: Op
    mounts: tuple[str, ...]


def build_with_shell(
    builder: BuildRunner,
    request: BuildRequest,
    paused: Callable[[], AbstractContextManager[None]],
    events: EventSink,
    cancel: Cancellation,
) -> BuildOutcome:
    """Build, and open a shell in a step that fails. Raises as `BuildRunner.build` does.

    A builder does not run a failed step again in the same build, so `retry` starts another build.
    """
    while True:
        shell = RemoteShell(paused, cancel)
        try:
            return builder.build_in_client(request, shell, events, cancel)
        except LaminaError:
            if not shell.retry:
                raise


class RemoteShell:
    """A `ClientFrontend` that builds a Dockerfile and opens a shell if a command fails.

    `retry` is whether the user wants the step to run again.

    Args:
        paused: nothing else writes to the terminal during its block.
        keyboard, screen: descriptors of the terminal.
    """

    def __init__(
        self,
        paused: Callable[[], AbstractContextManager[None]],
        cancel: Cancellation,
        keyboard: int = 0,
        screen: int = 2,
    ) -> None:
        self._paused = paused
        self._cancel = cancel
        self._keyboard = keyboard
        self._screen = screen
        self.retry = False

    def __call__(self, gateway: GatewayClient, attributes: Mapping[str, str]) -> gateway.Result:
        result = gateway.run_frontend(FRONTEND, attributes, {})
        refs = refs_of(result)
        try:
            for ref in refs:
                gateway.evaluate(ref.id)
        except LaminaError as error:
            failed = failed_command(error, refs)
            if failed is not None:
                self._open(gateway, failed, error)
            raise
        return result

    def _open(self, gateway: GatewayClient, failed: FailedCommand, error: LaminaError) -> None:
        with self._paused():
            self._say(f"\n{failed.name}\n{error.reason}")
            self._say(f"This is a shell in the failed step. {_HELP}")
            try:
                code = self._run(gateway, failed)
            except (LaminaError, StatusError) as failure:
                self._say(f"The shell cannot be started: {failure}")
                return
            if code in _NO_PROGRAM:
                self._say("The shell ended. Perhaps the image has none (/bin/sh).")
            self.retry = code == _RETRY

    def _run(self, gateway: GatewayClient, failed: FailedCommand) -> int:
        op = failed.op.exec
        assert op is not None
        meta = op.meta or ExecMeta()
        own = {"ENV": _FILE, "LAMINA_START": _START, "TERM": os.environ.get("TERM", "xterm")}
        env = (
            *(entry for entry in meta.env if entry.partition("=")[0] not in own),
            *(f"{name}={value}" for name, value in own.items()),
        )
        args = ("/bin/sh", "-c", _SCRIPT)
        init = api.InitMessage(
            meta=ExecMeta(args, env, meta.cwd, meta.user),
            fds=(0, 1, 2),
            tty=True,
            security=op.security,
            secret_env=op.secret_env,
        )
        containers = gateway.containers()
        with (
            containers.container(container_of(failed, op)) as name,
            containers.running(init._replace(container_id=name), self._show) as process,
            raw_mode(self._keyboard),
        ):
            self._relay(process)
            return process.wait().code

    def _relay(self, process: ContainerProcess) -> None:
        """Send what is typed, until the shell or the build ends."""
        poll = select.poll()
        poll.register(self._keyboard, select.POLLIN)
        size = None
        while not process.ended and not self._cancel.cancelled:
            if size != (size := size_of(self._screen)) and size.columns:
                process.resize(size.columns, size.rows)
            for fd, _ in poll.poll(_POLL):
                data = os.read(fd, _CHUNK)
                if not data:
                    return  # the terminal is gone
                process.write(data)

    def _show(self, data: bytes) -> None:
        write_all(self._screen, data)

    def _say(self, text: str) -> None:
        write_all(self._screen, f"{text}\n".encode("utf-8", "replace"))


def failed_command(error: LaminaError, refs: Iterable[gateway.Ref]) -> FailedCommand | None:
    """The command whose failure an error of the gateway reports; None if it was no command."""
    details = _details(error)
    vertex = failed_vertex(error)
    solve = next((item for item in details if isinstance(item, typed.Solve)), None)
    for ref in refs:
        found = None if ref.definition is None else _vertex(ref.definition, vertex)
        if found is not None and found[1].exec is not None and solve is not None:
            return FailedCommand(*found, solve.mount_ids)
    return None


def failed_vertex(error: LaminaError) -> str:
    """The digest of the vertex whose failure an error of the gateway reports, "" if unknown."""
    found = (item.digest for item in _details(error) if isinstance(item, typed.Vertex))
    return next(found, "")


def container_of(failed: FailedCommand, op: ExecOp) -> api.NewContainerRequest:
    """A container with the mounts of a failed command, as it had left them."""
    ids = (*failed.mounts, *[""] * len(op.mounts))
    mounts = tuple(
        mount._replace(result_id=result) for mount, result in zip(op.mounts, ids, strict=False)
    )
    meta = op.meta or ExecMeta()
    return api.NewContainerRequest(
        mounts=mounts,
        network=op.network,
        platform=failed.op.platform,
        constraints=failed.op.constraints,
        extra_hosts=meta.extra_hosts,
        hostname=meta.hostname,
    )


def _details(error: LaminaError) -> list[typed.TypedError]:
    status = error.__cause__
    return typed.typed_errors(status) if isinstance(status, StatusError) else []


def _vertex(definition: Definition, digest: str) -> tuple[str, Op] | None:
    """The name and the op of a vertex."""
    for data in definition.ops:
        if str(digest_of(data)) == digest:
            metadata = dict(definition.metadata).get(digest)
            description = () if metadata is None else metadata.description
            return dict(description).get(DESCRIPTION_NAME, ""), decode_op(data)
    return None
