"""Runs containers with crun or runc, which have the same command line."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import NotFound
from lamina.runtime.bundle import Bundle
from lamina.runtime.cgroups import sweep_cgroups
from lamina.runtime.contract import STOP_TIMEOUT, Resources
from lamina.runtime.seccomp import default_profile
from lamina.runtime.seccomp_filter import filter_of
from lamina.runtime.stopping import Stopping, kill_tree
from lamina.system.process import children_of, pump, which

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from lamina.base.resources import ResourceUsage
    from lamina.runtime.container import OciContainer
    from lamina.runtime.contract import ExitStatus, Process, Sandbox, TerminalSize
    from lamina.runtime.rootless import StepLimits
    from lamina.system.cancel import Cancellation
    from lamina.system.process import Child
    from lamina.system.user_namespace import IdMap

_SECCOMP_FILTER = "run.oci.seccomp_bpf_data"
_TOOLS = ("setpriv", "unshare", "sh")
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class OciRunner:
    """A Runtime that uses an OCI runtime's command line. The constructor cleans up after dead
    processes.

    Args:
        binary: path of crun or runc.
        scratch: a directory of a private tmpfs, as bundles and the runtime's state contain
        secrets.
        cache: a persistent directory for the compiled seccomp filter.
        grace: how long (seconds) a cancelled step may run after SIGTERM.
        ids: those of the user namespace of this process, None for the initial one.
    """

    def __init__(
        self,
        binary: str,
        scratch: str,
        cache: str = "",
        grace: float = STOP_TIMEOUT,
        ids: IdMap | None = None,
    ) -> None:
        self._binary = binary
        self._grace = grace
        self._running: set[Stopping] = set()
        self._limits = _limits_of(ids)
        self._reported = False
        self._scratch = scratch
        self._cache = cache or scratch
        self._lock = threading.Lock()
        self._filter: str | None = None
        self._swept: set[str] = set()
        self._sweep("")
        for tool in _TOOLS:
            if not which(tool):
                raise NotFound(f"{tool} is not on PATH", hint="install util-linux, which brings it")

    def run(
        self,
        process: Process,
        sandbox: Sandbox,
        *,
        stdout: Callable[[bytes], None],
        stderr: Callable[[bytes], None],
        measured: Callable[[ResourceUsage], None],
        cancel: Cancellation,
    ) -> ExitStatus:
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        own = [null, out_write]
        try:
            self._report_limits(sandbox, stderr)
            with self._bundle(process, sandbox, None) as bundle, bundle.metered(measured):
                return self._run(bundle, null, out_write, own, {out_read: stdout}, stderr, cancel)
        finally:
            for fd in (*own, out_read):
                os.close(fd)

    def connect(
        self,
        process: Process,
        sandbox: Sandbox,
        *,
        stdin: int,
        stdout: int,
        stderr: Callable[[bytes], None],
        cancel: Cancellation,
    ) -> ExitStatus:
        with self._bundle(process, sandbox, None) as bundle:
            return self._run(bundle, stdin, stdout, [], {}, stderr, cancel)

    def _run(
        self,
        bundle: Bundle,
        stdin: int,
        stdout: int,
        own: list[int],
        streams: dict[int, Callable[[bytes], None]],
        stderr: Callable[[bytes], None],
        cancel: Cancellation,
    ) -> ExitStatus:
        """Run a container. `own` are descriptors to close once the container has them."""
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                # In another process group than the terminal's: Ctrl-C reaches only lamina, which
                # cancels.
                guard = bundle.spawn(stdin, stdout, err_write, own_group=True)
            finally:
                os.close(err_write)
                while own:
                    os.close(own.pop())
            with (
                _killed_at_the_end(guard),
                self._stopping(guard) as stopping,
                cancel.calling(stopping),
            ):
                pump({**streams, err_read: stderr})
                code = guard.wait()
        finally:
            os.close(err_read)
        cancel.check()
        return bundle.outcome(code)

    def attach(
        self, process: Process, sandbox: Sandbox, *, terminal: bool, interactive: bool
    ) -> ExitStatus:
        from lamina.runtime.terminal import terminal_size

        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = terminal_size() if terminal else None
            with self._bundle(process, sandbox, size) as bundle:
                # The runtime sets up a terminal itself, through standard input.
                guard = bundle.spawn(0 if interactive or terminal else null, 1, 2)
                with _killed_at_the_end(guard), _forwarding(guard, terminal=terminal):
                    return bundle.outcome(guard.wait())
        finally:
            os.close(null)

    @contextmanager
    def container(self, sandbox: Sandbox) -> Iterator[OciContainer]:
        from lamina.runtime.container import OciContainer

        container = OciContainer(sandbox, self._bundle)
        try:
            yield container
        finally:
            container.close()

    def hurry(self) -> None:
        with self._lock:
            self._grace = 0
            running = list(self._running)
        for stopping in running:
            stopping.hurry()

    @contextmanager
    def _stopping(self, guard: Child) -> Iterator[Stopping]:
        with self._lock:
            stopping = Stopping(guard, self._grace)
            self._running.add(stopping)
        try:
            with stopping:
                yield stopping
        finally:
            with self._lock:
                self._running.discard(stopping)

    def _report_limits(self, sandbox: Sandbox, stderr: Callable[[bytes], None]) -> None:
        """Say in the log of one step which of its options have no effect."""
        limited = sandbox.resources != Resources() or sandbox.cgroup_parent
        if self._limits is None or not limited or self._reported:
            return
        from lamina.runtime.rootless import NO_CGROUPS

        self._reported = True
        stderr(f"warning: {NO_CGROUPS}\n".encode())

    def _sweep(self, parent: str) -> None:
        """Remove groups of dead processes, once for each parent."""
        with self._lock:
            known = parent in self._swept
            self._swept.add(parent)
        if not known:
            sweep_cgroups(parent)

    def _bundle(self, process: Process, sandbox: Sandbox, terminal: TerminalSize | None) -> Bundle:
        self._sweep(sandbox.cgroup_parent)
        annotations = {}
        if not sandbox.insecure and os.path.basename(self._binary).startswith("crun"):
            annotations = self._seccomp_annotation()
        return Bundle(
            self._binary, self._scratch, process, sandbox, annotations, terminal, self._limits
        )

    def _seccomp_annotation(self) -> dict[str, str]:
        with self._lock:
            if self._filter is None:
                from base64 import b64encode

                program = filter_of(default_profile(os.uname().machine), self._cache)
                self._filter = b64encode(program).decode()
        return {_SECCOMP_FILTER: self._filter} if self._filter else {}


def _limits_of(ids: IdMap | None) -> StepLimits | None:
    if ids is None:
        return None
    from lamina.runtime.rootless import probe_limits

    return probe_limits(ids)


@contextmanager
def _killed_at_the_end(guard: Child) -> Iterator[None]:
    with guard:
        try:
            yield
        except BaseException:
            kill_tree(guard)
            guard.wait()
            raise


@contextmanager
def _forwarding(guard: Child, *, terminal: bool) -> Iterator[None]:
    def forward(number: int, _: FrameType | None) -> None:
        for pid in children_of(guard.pid):
            os.kill(pid, number)

    def ignore(number: int, _: FrameType | None) -> None:
        return

    def follow(number: int, _: FrameType | None) -> None:
        from lamina.runtime.terminal import resize, terminal_size

        if (size := terminal_size()) != (0, 0):
            resize(guard.pid, size)

    previous = {number: signal.signal(number, forward) for number in _FORWARDED}
    if terminal:
        previous[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, follow)
    previous[signal.SIGINT] = signal.signal(signal.SIGINT, ignore)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
