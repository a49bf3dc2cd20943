"""`lamina build --debug`: a shell in a failed step, on the user's terminal.

The shell runs in a new container with the mounts, environment, user, working directory, network and
secrets of the step. A directory below /dev, which is a tmpfs in every container, has its start-up
file and, if the image has no shell, a static busybox of the host.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import struct
import tempfile
import threading
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError, NotFound
from lamina.base.named_tuple import NamedTuple
from lamina.ops.debugging import Decision
from lamina.runtime.contract import BindMount, Process, Terminal
from lamina.runtime.terminal import raw_mode, set_size, size_of
from lamina.runtime.users import beneath
from lamina.system.descriptors import write_all
from lamina.system.process import which

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from lamina.ops.debugging import EndedCommand
    from lamina.runtime.contract import ExitStatus, RunningProcess, Runtime
    from lamina.system.cancel import Cancellation

_FOLDER = "/dev/lamina"
_SHELL = "/bin/sh"
_RETRY, _ACCEPT = 86, 87
_START_UP = f"""alias retry='exit {_RETRY}'
alias continue='exit {_ACCEPT}'
PATH="$PATH:{_FOLDER}/bin"
"""
_DECISIONS = {_RETRY: Decision.RETRY, _ACCEPT: Decision.ACCEPT}
_HELP = (
    "`retry` runs the step again, `continue` takes these files as its result in this build,"
    " `exit` gives up."
)
_NO_SHELL = "the image has no shell, and this machine has no static busybox"
_POLL = 200  # milliseconds between looks at the size of the terminal
_CHUNK = 1 << 16
_INTERPRETER = 3  # the type of the program header that names a dynamic loader (PT_INTERP)


class Breakpoints(NamedTuple):
    """The steps after which a shell opens even if they succeed: `every` one, or those whose name
    has `text`. A number is that of a step in its stage, as progress shows it: `2` is `[app 2/5]`.
    """

    every: bool = False
    text: str = ""

    def wants(self, name: str) -> bool:
        if self.text.isdecimal():
            stage = name.partition("]")[0].split()
            return bool(stage) and stage[-1].partition("/")[0].lstrip("[") == self.text
        return self.every or (bool(self.text) and self.text in name)


class DebugShell:
    """Implements `lamina.ops.debugging.StepDebugger`. One shell is open at a time.

    Args:
        paused: nothing else writes to the terminal during its block.
        keyboard, screen: descriptors of the terminal.
    """

    def __init__(
        self,
        paused: Callable[[], AbstractContextManager[None]],
        breakpoints: Breakpoints = Breakpoints(),  # noqa: B008 - a value
        keyboard: int = 0,
        screen: int = 2,
    ) -> None:
        self._paused = paused
        self._breakpoints = breakpoints
        self._keyboard = keyboard
        self._screen = screen
        self._lock = threading.Lock()

    def ended(self, command: EndedCommand, runtime: Runtime, cancel: Cancellation) -> Decision:
        if command.error is None and not self._breakpoints.wants(command.name):
            return Decision.PROCEED
        with self._lock, self._paused(), _shell_files(command.sandbox.rootfs) as (folder, args):
            if cancel.cancelled:
                return Decision.GIVE_UP
            self._say(f"\n{command.name}")
            if command.error is not None:
                self._say(command.error.reason)
            if not args:
                self._say(f"{_NO_SHELL}.")
                return Decision.PROCEED
            kind = "failed step" if command.error is not None else "step after its command"
            self._say(f"This is a shell in the {kind}. {_HELP}")
            try:
                status = self._run(command, args, folder, runtime, cancel)
            except LaminaError as error:
                self._say(f"The shell cannot be started: {error.reason}")
                return Decision.PROCEED
        return _DECISIONS.get(status.code, Decision.GIVE_UP)

    def open(self, command: EndedCommand, runtime: Runtime, cancel: Cancellation) -> int:
        """Open a shell in the step of a build that has ended. Returns its exit status.

        Raises NotFound (there is no shell) and the errors of starting it.
        """
        with _shell_files(command.sandbox.rootfs) as (folder, args):
            if not args:
                raise NotFound(_NO_SHELL, hint="install busybox-static, or run a command instead")
            self._say(command.name)
            self._say("This is a shell in the failed step. Changes are discarded at its end.")
            return self._run(command, args, folder, runtime, cancel).code

    def _run(
        self,
        command: EndedCommand,
        args: tuple[str, ...],
        folder: str,
        runtime: Runtime,
        cancel: Cancellation,
    ) -> ExitStatus:
        own = {"ENV": f"{_FOLDER}/start", "TERM": os.environ.get("TERM", "xterm")}
        env = (
            *(entry for entry in command.process.env if entry.partition("=")[0] not in own),
            *(f"{name}={value}" for name, value in own.items()),
        )
        process = Process(args, env, command.process.cwd, command.process.user)
        mounts = (*command.sandbox.mounts, BindMount(folder, _FOLDER, readonly=True))
        with runtime.container(command.sandbox._replace(mounts=mounts)) as container:
            master, slave = os.openpty()
            try:
                tty.setraw(slave)
                with suppress(OSError):
                    set_size(slave, size_of(self._screen))
                shell = container.start(process, Terminal(slave))
                os.close(slave)
                slave = -1
                with raw_mode(self._keyboard):
                    ended = self._relay(master, shell, cancel)
                if not ended:
                    shell.send(signal.SIGKILL)
                return shell.wait()
            finally:
                os.close(master)
                if slave >= 0:
                    os.close(slave)

    def _relay(self, master: int, shell: RunningProcess, cancel: Cancellation) -> bool:
        """Connect the terminal with the shell's, until the shell or the build ends.

        Returns whether the shell has ended.
        """
        poll = select.poll()
        poll.register(master, select.POLLIN)
        poll.register(self._keyboard, select.POLLIN)
        size = None
        while not cancel.cancelled:
            with suppress(OSError):
                if size != (size := size_of(self._screen)) and size.columns:
                    shell.resize(size)
            for fd, _ in poll.poll(_POLL):
                try:
                    data = os.read(fd, _CHUNK)
                except OSError:  # the other side of the pseudo-terminal is closed
                    data = b""
                if fd == master:
                    if not data:
                        return True
                    write_all(self._screen, data)
                elif data:
                    write_all(master, data)
                else:
                    return False  # the terminal is gone
        return False

    def _say(self, text: str) -> None:
        write_all(self._screen, f"{text}\n".encode("utf-8", "replace"))


@contextmanager
def _shell_files(rootfs: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """A directory to mount at `_FOLDER`, and the command of the shell; () if there is none."""
    folder = tempfile.mkdtemp(prefix="lamina-debug-")
    try:
        os.chmod(folder, 0o755)
        with open(os.path.join(folder, "start"), "w", encoding="utf-8") as file:
            file.write(_START_UP)
        args: tuple[str, ...] = (_SHELL, "-i")
        if not os.path.exists(beneath(rootfs, _SHELL)):
            busybox = which("busybox")
            args = ()
            if busybox and _is_static(busybox):
                shutil.copy(busybox, os.path.join(folder, "busybox"))
                _link_applets(busybox, os.path.join(folder, "bin"))
                args = (f"{_FOLDER}/busybox", "sh", "-i")
        yield folder, args
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _link_applets(busybox: str, folder: str) -> None:
    import subprocess

    os.mkdir(folder, 0o755)
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=False)
    for name in listed.stdout.split():
        os.symlink(f"{_FOLDER}/busybox", os.path.join(folder, os.path.basename(name)))


def _is_static(path: str) -> bool:
    """Whether a program needs no dynamic loader: a 64-bit ELF file without an interpreter."""
    with open(path, "rb") as file:
        header = file.read(64)
        if len(header) < 64 or header[:5] != b"\x7fELF\x02":
            return False
        offset, size, count = struct.unpack_from("=Q14xHH", header, 32)
        file.seek(offset)
        table = file.read(size * count)
    kinds = [struct.unpack_from("=I", table, size * i)[0] for i in range(len(table) // size)]
    return _INTERPRETER not in kinds
