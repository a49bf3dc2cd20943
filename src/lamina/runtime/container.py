"""A container with several processes: the first is run by the runtime, later ones are executed in
it.

    lamina ─┬─ guard (unshare --pid --kill-child) ─ crun run ─ the first process
            └─ nsenter ─ crun exec ─ a further process

The runtime's state names processes as they are seen in the pid namespace of `crun run`, so
`crun exec` runs in the namespaces of that process. All of them end with it.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import threading
import time
from abc import abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from lamina.base.errors import Internal, LaminaError, NotFound, from_os_error
from lamina.runtime.contract import ExitStatus, Pipes, TerminalSize
from lamina.runtime.spec import make_process
from lamina.runtime.stopping import kill_tree
from lamina.runtime.users import find_identity
from lamina.system.process import children_of, spawn

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.runtime.bundle import Bundle
    from lamina.runtime.contract import Process, Sandbox, Terminal
    from lamina.system.process import Child

    BundleMaker = Callable[[Process, Sandbox, TerminalSize | None], Bundle]

_PID_FILE = "pid"
_POLL = 0.005
"""Seconds between checks whether a process has been started: runtimes do not notify."""
_START_TIMEOUT = 5.0
"""Seconds that a signal or a resize waits for its process."""
_KILLED = 128 + signal.SIGKILL


class OciContainer:
    """Implements `contract.Container`. `close` it.

    Args:
        make_bundle: makes the bundle when the first process is known.
    """

    def __init__(self, sandbox: Sandbox, make_bundle: BundleMaker) -> None:
        self._sandbox = sandbox
        self._make_bundle = make_bundle
        self._lock = threading.Lock()
        self._first: _FirstProcess | None = None
        self._closed = False

    def start(self, process: Process, streams: Pipes | Terminal) -> ContainerProcess:
        started: ContainerProcess
        with self._lock:
            if self._closed:
                raise NotFound("the container was released")
            if self._first is None:
                started = self._first = _FirstProcess(
                    process, streams, self._sandbox, self._make_bundle
                )
            else:
                started = self._first.add(process, streams, self._sandbox)
            started.begin()
        return started

    def close(self) -> None:
        """Kill all processes, and wait until the container is removed."""
        with self._lock:
            self._closed = True
            first = self._first
        if first is not None:
            first.kill()
            first.join_all()


class ContainerProcess:
    """Implements `contract.RunningProcess`, with a thread that starts the process and waits."""

    def __init__(self, process: Process, streams: Pipes | Terminal) -> None:
        self._process = process
        self._size: TerminalSize | None = None
        if isinstance(streams, Pipes):
            given = (streams.stdin, streams.stdout, streams.stderr, *streams.further)
        else:
            from lamina.runtime.terminal import size_of

            given = (streams.slave,) * 3
            self._size = size_of(streams.slave)
        self._descriptors = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in given]
        self._own_terminal = -1 if self._size is None else os.dup(self._descriptors[0])
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._killed = False
        self._ended = threading.Event()
        self._status: ExitStatus | None = None
        self._error: LaminaError | None = None
        # The kernel kills the guard with the thread that started it.
        self._thread = threading.Thread(target=self._run, name="container", daemon=True)

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    @property
    def alive(self) -> bool:
        """Whether its thread has not begun or is running."""
        return self._thread.ident is None or self._thread.is_alive()

    def begin(self) -> None:
        self._thread.start()

    def send(self, number: int) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            target = self._target()
            if target is not None:
                with suppress(ProcessLookupError):
                    os.kill(target, number)
                return
            if number == signal.SIGKILL and time.monotonic() >= deadline:
                self._kill()
                return
            if self._ended.wait(_POLL) or time.monotonic() >= deadline:
                return

    def resize(self, size: TerminalSize) -> None:
        if self._size is None:
            return
        from lamina.runtime import terminal

        with self._lock:
            if self.ended:
                return
            # The runtime takes it over when it starts.
            terminal.set_size(self._own_terminal, size)
            self._size = size
        # What the process is sent next, it reads with this size.
        deadline = time.monotonic() + _START_TIMEOUT
        while not self._apply(size) and time.monotonic() < deadline:
            if self._ended.wait(_POLL):
                return

    def _apply(self, size: TerminalSize) -> bool:
        from lamina.runtime.terminal import resize

        child = self._child
        return child is not None and self._target() is not None and resize(child.pid, size)

    def wait(self) -> ExitStatus:
        self._ended.wait()
        if self._error is not None:
            raise self._error.again()
        assert self._status is not None
        return self._status

    def join(self) -> None:
        """Wait until its thread has ended."""
        self._thread.join()

    def _target(self) -> int | None:
        """The process itself, None if it has not started or has ended."""
        with self._lock:
            child = self._child
            if child is None or self.ended:
                return None
            for runtime in children_of(child.pid):
                depth = _depth(runtime)
                for pid in children_of(runtime):
                    if _depth(pid) > depth > 0:
                        return pid
        return None

    @abstractmethod
    def _kill(self) -> None:
        """End the process at once, with its children."""

    def _run(self) -> None:
        try:
            self._execute()
        except LaminaError as error:
            self._end(None, error)
        except OSError as error:
            self._end(None, from_os_error(error, "run a process of a container"))
        except Exception as error:
            self._end(None, Internal(f"{type(error).__name__}: {error}"))
            raise
        finally:
            self._close_descriptors()

    @abstractmethod
    def _execute(self) -> None:
        """Run the process until it ends."""

    def _spawn(self, command: list[str]) -> Child:
        stdin, stdout, stderr, *further = self._descriptors
        child = spawn(
            command, stdin=stdin, stdout=stdout, stderr=stderr, own_group=True, further=further
        )
        self._close_descriptors()
        return child

    def _close_descriptors(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _end(self, status: ExitStatus | None, error: LaminaError | None = None) -> None:
        with self._lock:
            if self.ended:
                return
            self._status, self._error = status, error
            self._child = None
            if self._own_terminal >= 0:
                os.close(self._own_terminal)
            self._ended.set()


class _FirstProcess(ContainerProcess):
    """The init process. The container ends with it.

    `released` is whether it was killed together with the container.
    """

    def __init__(
        self,
        process: Process,
        streams: Pipes | Terminal,
        sandbox: Sandbox,
        make_bundle: BundleMaker,
    ) -> None:
        super().__init__(process, streams)
        self._sandbox = sandbox
        self._make_bundle = make_bundle
        self._bundle: Bundle | None = None
        self.released = False
        self._others: list[_FurtherProcess] = []

    def add(self, process: Process, streams: Pipes | Terminal, sandbox: Sandbox) -> _FurtherProcess:
        """Add a further process of the container, which has not begun."""
        user = process.user or self._process.user
        further = _FurtherProcess(process._replace(user=user), streams, sandbox, self)
        with self._lock:
            self._others = [other for other in self._others if other.alive]
            self._others.append(further)
        return further

    def kill(self) -> None:
        """Kill all processes of the container, and those that have not begun."""
        with self._lock:
            self._killed = self.released = True
            if self._child is not None:
                kill_tree(self._child)

    def _kill(self) -> None:
        self.kill()

    def join_all(self) -> None:
        """Wait until the threads of all processes have ended."""
        self.join()
        with self._lock:
            others = list(self._others)
        for other in others:
            other.join()

    def running(self) -> tuple[Bundle, int]:
        """Wait until the container runs. Returns its bundle, and the process of the runtime.

        Raises NotFound if it has stopped.
        """
        while not self._ended.wait(_POLL):
            with self._lock:
                child, bundle = self._child, self._bundle
                if child is None or bundle is None or self.ended:
                    continue
                if self._killed:
                    break
                found = children_of(child.pid)
            if found and os.path.exists(bundle.path(_PID_FILE)):
                return bundle, found[0]
        raise NotFound("the container has stopped")

    def _execute(self) -> None:
        with self._make_bundle(self._process, self._sandbox, self._size) as bundle:
            try:
                options = ("--pid-file", bundle.path(_PID_FILE), *_preserved(self._descriptors))
                self._wait_for(bundle, self._spawn(bundle.run_command(*options)))
            finally:
                # The kernel has killed them. Their threads use the bundle.
                with self._lock:
                    others, self._killed = self._others, True
                for other in others:
                    other.join()
                bundle.discard_state()

    def _wait_for(self, bundle: Bundle, child: Child) -> None:
        with child:
            with self._lock:
                self._child, self._bundle = child, bundle
                if self._killed:
                    kill_tree(child)
            try:
                code = child.wait()
            except BaseException:
                kill_tree(child)
                raise
            with self._lock:
                killed, self._child = self._killed, None
            if killed and code:
                self._end(ExitStatus(_KILLED))
            else:
                self._end(bundle.outcome(code))


class _FurtherProcess(ContainerProcess):
    """A process that is executed in a container that runs."""

    def __init__(
        self,
        process: Process,
        streams: Pipes | Terminal,
        sandbox: Sandbox,
        first: _FirstProcess,
    ) -> None:
        super().__init__(process, streams)
        self._sandbox = sandbox
        self._first = first

    def _kill(self) -> None:
        with self._lock:
            if self._child is not None:
                self._child.kill()

    def _execute(self) -> None:
        try:
            bundle, runtime = self._first.running()
        except NotFound:
            if not self._first.released:
                raise
            self._end(ExitStatus(_KILLED))
            return
        name = os.urandom(4).hex()
        identity = find_identity(self._sandbox.rootfs, self._process.user)
        spec = make_process(self._process, self._sandbox, identity, self._size)
        if not self._process.args:
            _no_command()
        spec_file = bundle.write(f"process-{name}.json", json.dumps(spec))
        log = bundle.path(f"log-{name}")
        options = ("--process", spec_file, *_preserved(self._descriptors))
        child = self._spawn(bundle.exec_command(runtime, log, *options))
        try:
            with child:
                with self._lock:
                    self._child = child
                code = child.wait()
                with self._lock:
                    self._child = None
            if code == _KILLED:
                self._end(ExitStatus(_KILLED))
            else:
                self._end(bundle.outcome_of(self._process, code, log))
        finally:
            for path in (spec_file, log):
                with suppress(FileNotFoundError):
                    os.unlink(path)


def _no_command() -> NoReturn:
    from lamina.base.errors import InvalidInput

    raise InvalidInput("there is no command to run")


def _preserved(descriptors: list[int]) -> tuple[str, ...]:
    further = len(descriptors) - 3
    return ("--preserve-fds", str(further)) if further > 0 else ()


def _depth(pid: int) -> int:
    """The number of pid namespaces that a process is in, 0 if it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            line = next(line for line in file if line.startswith("NSpid:"))
    except (OSError, StopIteration):
        return 0
    return len(line.split()) - 1
