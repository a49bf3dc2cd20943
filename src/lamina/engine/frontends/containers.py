"""The containers that a frontend runs itself (BuildKit's `frontend/gateway/container`)."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

from lamina.api.errors import Exit, detail_of
from lamina.api.failures import to_status
from lamina.base.digest import digest_of
from lamina.base.errors import (
    CONTEXT_CANCELLED,
    InvalidInput,
    LaminaError,
    NotFound,
    PermissionDenied,
)
from lamina.base.gotext import quote
from lamina.base.platform import host_platform
from lamina.llb.check import check_op
from lamina.llb.op import (
    NO_INPUT,
    NO_OUTPUT,
    ExecMeta,
    ExecOp,
    Input,
    Mount,
    MountType,
    NetMode,
    Op,
    SecurityMode,
)
from lamina.llb.platform import op_platform
from lamina.ops.exec_sandbox import NETWORKS
from lamina.ops.secret_env import secret_env
from lamina.runtime.contract import Process, Sandbox
from lamina.system.cancel import Cancellation
from lamina.wire.contract import Code, StatusError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.api.container import InitMessage, NewContainerRequest
    from lamina.engine.frontends.contract import FrontendBuild
    from lamina.llb.op import HostIP
    from lamina.ops.mounts import Prepared
    from lamina.refs.ref import Ref
    from lamina.runtime.contract import (
        Container,
        Pipes,
        RunningProcess,
        Terminal,
    )

    FindRef = Callable[[str, Cancellation], Ref]

UNKNOWN_EXIT = 255
"""The exit code of a process that was never started."""
_WINDOWS_PATH = (
    # BuildKit
    r"c:\Windows\System32;c:\Windows;C:\Windows\System32\WindowsPowerShell\v1.0"
)


class GatewayContainers:
    """The containers of one frontend, by the ids that it gives them. Thread-safe.

    Args:
        find: returns the result with an ID of the bridge; raises NotFound, and the error that
            stopped it.
    """

    def __init__(self, build: FrontendBuild, find: FindRef) -> None:
        self._build = build
        self._find = find
        self._lock = threading.Lock()
        self._containers: dict[str, GatewayContainer] = {}
        self._closed = False

    def create(self, request: NewContainerRequest, cancel: Cancellation) -> None:
        """Make the mounts of a container. Raises StatusError (the id is in use), LaminaError.

        Args:
            cancel: cancels the call.
        """
        container = GatewayContainer(self._build, request, self._find, cancel)
        with self._lock:
            known = request.container_id in self._containers
            refused = known or self._closed
            if not refused:
                self._containers[request.container_id] = container
        if refused:
            container.close()
            if not known:
                raise NotFound("the build is over")
            reason = f"Container {request.container_id} already exists"
            raise StatusError(Code.ALREADY_EXISTS, reason)

    def find(self, container_id: str) -> GatewayContainer | None:
        with self._lock:
            return self._containers.get(container_id)

    def release(self, container_id: str) -> None:
        """Kill the processes of a container and remove it.

        Raises NotFound, and the error of the first failed process (BuildKit).
        """
        with self._lock:
            container = self._containers.pop(container_id, None)
        if container is None:
            raise NotFound(f"container details for {container_id} not found")
        container.close()
        failure = container.failure()
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Release all containers. No more can be made."""
        with self._lock:
            self._closed = True
            containers, self._containers = list(self._containers.values()), {}
        with ExitStack() as stack:
            for container in containers:
                stack.callback(container.close)


class GatewayContainer:
    """One container: its mounts, and its processes. Thread-safe."""

    def __init__(
        self,
        build: FrontendBuild,
        request: NewContainerRequest,
        find: FindRef,
        cancel: Cancellation,
    ) -> None:
        self._build = build
        self._request = request
        self._platform = op_platform(request.platform, host_platform())
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._container: Container | None = None
        self._released = False
        self._started: list[RunningProcess] = []
        self._failure: StatusError | None = None
        op, inputs = self._op(request, find, cancel)
        _check_hosts(request.extra_hosts)
        # The end of the build also cancels the work for the call.
        both = Cancellation(build.cancel)
        with cancel.calling(lambda: both.cancel("the call was cancelled")):
            self._prepared = self._prepare(op, inputs, both)

    def _op(
        self, request: NewContainerRequest, find: FindRef, cancel: Cancellation
    ) -> tuple[ExecOp, list[Ref]]:
        """The mounts as those of an exec op, and its inputs."""
        mounts: list[Mount] = []
        inputs: list[Ref] = []
        for mount in request.mounts:
            if mount.dest == "/" and mount.mount_type is not MountType.BIND:
                kind = mount.mount_type.name
                raise InvalidInput(f"invalid mount type {kind} for {mount.dest}")
            index = NO_INPUT
            if mount.result_id:
                try:
                    found = find(mount.result_id, cancel)
                except NotFound as error:
                    raise NotFound(
                        f"failed to find ref {mount.result_id} for {quote(mount.dest)} mount:"
                        f" {error.reason}"
                    ) from error
                index = len(inputs)
                inputs.append(found)
            mounts.append(mount._replace(input=index, output=NO_OUTPUT))
        op = ExecOp(ExecMeta(("container",)), tuple(mounts))
        check_op(Op((Input(digest_of(b"")),) * len(inputs), exec=op))
        return op, inputs

    def _prepare(self, op: ExecOp, inputs: list[Ref], cancel: Cancellation) -> Prepared:
        staged: list[Prepared] = []

        def discard() -> None:
            for prepared in staged:
                for change in prepared.changes:
                    self._build.refs.discard(change.staged)

        self._stack.callback(discard)
        try:
            table = self._build.mount_table()
            prepared = self._stack.enter_context(table.prepare(op, inputs, cancel))
            staged.append(prepared)
        except BaseException:
            self._stack.close()
            raise
        return prepared

    def start(self, init: InitMessage, streams: Pipes | Terminal) -> RunningProcess:
        """Start a process. Raises LaminaError: a secret is missing, the container is released."""
        meta = init.meta or ExecMeta()
        env = list(meta.env)
        windows = self._platform.os == "windows"
        if windows and not any(entry.startswith("PATH=") for entry in env):
            env.append(f"PATH={_WINDOWS_PATH}")
        if init.tty and not any(entry.startswith("TERM=") for entry in env):
            env.append("TERM=xterm")
        env += secret_env(init.secret_env, self._build.session, self._build.cancel)
        process = Process(meta.args, tuple(env), meta.cwd or "/", meta.user)
        with self._lock:
            if self._released:
                raise NotFound("the container was released")
            if self._container is None:
                sandbox = self._sandbox(insecure=init.security is SecurityMode.INSECURE)
                runtime = self._build.runtime()
                self._container = self._stack.enter_context(runtime.container(sandbox))
            started = self._container.start(process, streams)
            self._started.append(started)
            return started

    def check(self, init: InitMessage) -> None:
        """Raise PermissionDenied or InvalidInput if a process may not have the requested
        settings."""
        if init.security not in tuple(SecurityMode):
            raise InvalidInput(f"invalid security mode {init.security}")
        for needed, entitlement in (
            (self._request.network is NetMode.HOST, "network.host"),
            (init.security is SecurityMode.INSECURE, "security.insecure"),
        ):
            if needed and entitlement not in self._build.allowed:
                raise PermissionDenied(
                    f"{entitlement} is not allowed", hint=f"allow it: --allow {entitlement}"
                )

    def outcome(self, process: RunningProcess) -> tuple[int, StatusError | None]:
        """Wait for the end of a process. Returns its exit code, and its error."""
        code, failure = self._outcome(process)
        if failure is not None:
            with self._lock:
                self._failure = self._failure or failure
        return code, failure

    def failure(self) -> StatusError | None:
        """The error of the first process that failed. The container is closed: all have ended."""
        for process in self._started:
            self.outcome(process)
        return self._failure

    def _outcome(self, process: RunningProcess) -> tuple[int, StatusError | None]:
        try:
            code = process.wait().code
        except LaminaError as error:
            from lamina.runtime.emulation import emulation_hint, runs_here

            hint = error.hint if runs_here(self._platform) else emulation_hint(self._platform)
            return UNKNOWN_EXIT, to_status(error.with_context(hint=hint))
        if not code:
            return 0, None
        reason, kind = f"exit code: {code}", Code.UNKNOWN
        with self._lock:
            released = self._released
        if released and code == 128 + signal.SIGKILL:
            reason, kind = f"{reason}: {CONTEXT_CANCELLED}", Code.CANCELLED
        return code, StatusError(kind, reason, (detail_of(Exit(code)),))

    def root(self, index: int) -> str:
        """The path on the host of a mount. Raises InvalidInput, NotFound."""
        sources = self._prepared.sources
        if not 0 <= index < len(sources):
            raise InvalidInput(f"mount index {index} is out of bounds ({len(sources)} available)")
        if not sources[index]:
            raise NotFound(f"mountable {index} not found")
        return sources[index]

    def close(self) -> None:
        """Kill all processes, and remove the mounts. Idempotent."""
        with self._lock:
            self._released = True
            stack, self._stack = self._stack, ExitStack()
        stack.close()

    def _sandbox(self, *, insecure: bool) -> Sandbox:
        request, prepared = self._request, self._prepared
        return Sandbox(
            rootfs=prepared.rootfs,
            mounts=prepared.mounts,
            readonly=prepared.readonly,
            hostname=request.hostname,
            extra_hosts=tuple((host.host, host.ip) for host in request.extra_hosts),
            network=NETWORKS[request.network],
            insecure=insecure,
        )


def _check_hosts(hosts: tuple[HostIP, ...]) -> None:
    import ipaddress

    for host in hosts:
        try:
            ipaddress.ip_address(host.ip)
        except ValueError:
            raise InvalidInput(f"failed to parse IP {host.ip}") from None
