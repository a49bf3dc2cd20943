"""Child processes that are always killed and reaped at the end of their block.

`subprocess` is not used: importing it takes as long as starting a container.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from lamina.base.errors import from_os_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

_CHUNK = 1 << 16


class Child:
    """A child process. Leaving its `with` block kills it if it still runs, and reaps it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._lock = threading.Lock()
        self._status: int | None = None

    def send(self, number: int) -> None:
        """Send a signal, unless the child has been reaped. Thread-safe."""
        with self._lock:  # while it is held the process ID cannot be reused
            if self._status is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)

    def wait(self) -> int:
        """Wait for the child to end. Returns the exit status, 128 + N after signal N."""
        if self._status is None:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            with self._lock:
                if self._status is None:
                    self._status = os.waitpid(self.pid, 0)[1]
        code = os.waitstatus_to_exitcode(self._status)
        return 128 - code if code < 0 else code

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is None:
            self.kill()
            self.wait()


def spawn(
    command: Sequence[str],
    *,
    stdin: int,
    stdout: int,
    stderr: int,
    env: Mapping[str, str] | None = None,
    own_group: bool = False,
    further: Sequence[int] = (),
) -> Child:
    """Start a command, which is looked up on PATH, with these three descriptors and no others.

    Args:
        further: descriptors that it gets as 3, 4, …
        env: its environment; by default that of this process.
        own_group: start it in a new process group, so that it does not get the terminal's Ctrl-C.

    Raises NotFound or PermissionDenied if it cannot be started.
    """
    actions = []
    opened = []
    try:
        # Copies above these numbers, or one redirection would overwrite the source of the next.
        # They close on exec; dup2 clears that only for its result.
        given = (stdin, stdout, stderr, *further)
        for number, fd in enumerate(given):
            opened.append(_copy_from(fd, len(given)))
            actions.append((os.POSIX_SPAWN_DUP2, opened[-1], number))
        group: dict[str, Any] = {"setpgroup": 0} if own_group else {}
        pid = os.posix_spawnp(
            command[0],
            list(command),
            os.environ if env is None else env,
            file_actions=actions,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGTERM],
            **group,
        )
    except OSError as error:
        error.filename = None
        raise from_os_error(error, f"start {command[0]}") from error
    finally:
        for fd in opened:
            os.close(fd)
    return Child(pid)


def which(name: str) -> str:
    """The path of a program, "" if there is none."""
    for folder in (*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/sbin"):
        path = os.path.join(folder, name)
        if folder and os.access(path, os.X_OK):
            return path
    return ""


def run_silently(command: Sequence[str]) -> int:
    """Run a command without input and output. Returns its exit status. Raises as `spawn`."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        with spawn(command, stdin=null, stdout=null, stderr=null) as child:
            return child.wait()
    finally:
        os.close(null)


def pump(streams: Mapping[int, Callable[[bytes], None]]) -> None:
    """Pass on the output of pipes in the order of arrival, until all are closed."""
    import select

    poll = select.poll()
    for fd in streams:
        poll.register(fd, select.POLLIN)
    left = len(streams)
    while left:
        for fd, _ in poll.poll():
            data = os.read(fd, _CHUNK)
            if data:
                streams[fd](data)
            else:
                poll.unregister(fd)
                left -= 1


def children_of(pid: int) -> list[int]:
    """The children of a process, of all its threads, that it has not reaped."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    except OSError:
        pass  # it, or one of its threads, has ended
    return found


def _copy_from(fd: int, lowest: int) -> int:
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)
