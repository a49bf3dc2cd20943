"""Running containers with crun or runc, whose command lines agree.

The runtime is started as the first process of a pid namespace of its own, below a guard that
the kernel kills together with the thread that waits for it. So whatever becomes of lamina, no
process outlives it:

    lamina ─ setpriv --pdeathsig ─ unshare --pid --kill-child ─ crun ─ the step's processes
"""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING

from lamina.base.errors import Internal, InvalidInput, NotFound, PermissionDenied
from lamina.runtime.cgroups import PARENT, remove_cgroup
from lamina.runtime.contract import ExitStatus
from lamina.runtime.netfiles import find_stubs, remove_stubs, write_network_files
from lamina.runtime.spec import make_spec
from lamina.runtime.users import find_identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.runtime.contract import Process, Sandbox
    from lamina.system.cancel import Cancellation

_CHUNK = 1 << 16
_MOUNT_POINTS = ("/proc", "/sys", "/dev")
_GUARD = ("setpriv", "--pdeathsig", "KILL", "--")
_NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--")


def find_runtime(preferred: str = "") -> str:
    """The path of crun, else runc. Raises NotFound."""
    for name in (preferred,) if preferred else ("crun", "runc"):
        path = _which(name)
        if path:
            return path
    raise NotFound(
        f"no OCI runtime found: {preferred or 'neither crun nor runc'} is on PATH",
        hint="install one: apt-get install crun",
    )


class OciRunner:
    """A Runtime over an OCI runtime's command line.

    Args:
        binary: path of crun or runc.
        scratch: this process's own folder; holds bundles and the runtime's state.
    """

    def __init__(self, binary: str, scratch: str) -> None:
        self._binary = binary
        self._scratch = scratch
        for tool in (_GUARD[0], _NAMESPACE[0]):
            if not _which(tool):
                raise NotFound(f"{tool} is not on PATH", hint="install util-linux, which brings it")

    def run(
        self,
        process: Process,
        sandbox: Sandbox,
        *,
        stdout: Callable[[bytes], None],
        stderr: Callable[[bytes], None],
        cancel: Cancellation,
    ) -> ExitStatus:
        with _Bundle(self._binary, self._scratch, process, sandbox, terminal=False) as bundle:
            out_read, out_write = os.pipe2(os.O_CLOEXEC)
            err_read, err_write = os.pipe2(os.O_CLOEXEC)
            null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            try:
                pid = bundle.spawn(null, out_write, err_write)
            finally:
                for fd in (null, out_write, err_write):
                    os.close(fd)
            reaped = False

            def kill() -> None:
                if not reaped:
                    os.kill(pid, signal.SIGKILL)

            try:
                with cancel.calling(kill):
                    _pump({out_read: stdout, err_read: stderr})
                    status = os.waitpid(pid, 0)[1]
                    reaped = True
            finally:
                os.close(out_read)
                os.close(err_read)
                if not reaped:
                    kill()
                    os.waitpid(pid, 0)
                    reaped = True
            cancel.check()
            return bundle.outcome(status)

    def attach(self, process: Process, sandbox: Sandbox, *, terminal: bool) -> ExitStatus:
        """Run with this process's own standard streams, for a person to use."""
        with _Bundle(self._binary, self._scratch, process, sandbox, terminal=terminal) as bundle:
            pid = bundle.spawn(0, 1, 2)
            while True:
                try:
                    return bundle.outcome(os.waitpid(pid, 0)[1])
                except KeyboardInterrupt:
                    continue  # the terminal sent it to the container too


class _Bundle:
    """The folder of one container, and what must be undone after it."""

    def __init__(
        self, binary: str, scratch: str, process: Process, sandbox: Sandbox, *, terminal: bool
    ) -> None:
        import json

        self._binary = binary
        self._id = "lamina-" + os.urandom(8).hex()
        self._folder = os.path.join(scratch, self._id)
        self._state = os.path.join(scratch, "runtime")
        self._process = process
        self._cgroup = f"{sandbox.cgroup_parent.rstrip('/') or PARENT}/{self._id}"
        if not self._cgroup.startswith("/"):
            self._cgroup = "/" + self._cgroup
        identity = find_identity(sandbox.rootfs, process.user)
        os.mkdir(self._folder, 0o711)
        files = write_network_files(self._folder, sandbox)
        spec = make_spec(
            process,
            sandbox,
            identity,
            files=files,
            cgroup=self._cgroup,
            terminal=terminal,
        )
        with open(os.path.join(self._folder, "config.json"), "w", encoding="utf-8") as file:
            file.write(json.dumps(spec))
        self._stubs = find_stubs(sandbox.rootfs, (*files, *sandbox.mounts), _MOUNT_POINTS)

    def __enter__(self) -> _Bundle:
        return self

    def __exit__(self, *exception: object) -> None:
        import shutil

        remove_stubs(self._stubs)
        if exception[0] is not None:
            shutil.rmtree(os.path.join(self._state, self._id), ignore_errors=True)
        remove_cgroup(self._cgroup)
        shutil.rmtree(self._folder, ignore_errors=True)

    def spawn(self, stdin: int, stdout: int, stderr: int) -> int:
        command = [
            *_GUARD,
            *_NAMESPACE,
            self._binary,
            "--root",
            self._state,
            "--log",
            self._log,
            "run",
            "--bundle",
            self._folder,
            self._id,
        ]
        return os.posix_spawnp(
            command[0],
            command,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, stdin, 0),
                (os.POSIX_SPAWN_DUP2, stdout, 1),
                (os.POSIX_SPAWN_DUP2, stderr, 2),
            ],
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGINT],
        )

    @property
    def _log(self) -> str:
        return os.path.join(self._folder, "log")

    def outcome(self, status: int) -> ExitStatus:
        """The step's status; raises if the runtime failed before there was one."""
        code = os.waitstatus_to_exitcode(status)
        code = 128 - code if code < 0 else code
        if code == 0:
            return ExitStatus(0)
        try:
            with open(self._log, encoding="utf-8", errors="replace") as file:
                complaint = file.read(1 << 16).strip()
        except OSError:
            complaint = ""
        if not complaint:
            return ExitStatus(code)
        return self._explain(complaint, code)

    def _explain(self, complaint: str, code: int) -> ExitStatus:
        command = self._process.args[0] if self._process.args else ""
        last = complaint.splitlines()[-1]
        if "not found" in last or "No such file or directory" in last:
            raise NotFound(
                f'the command "{command}" is not in the image: {last}',
                hint="check its spelling and PATH; a script also needs its #! interpreter",
            )
        if "exec" in last and "ermission denied" in last:
            raise PermissionDenied(
                f'the command "{command}" cannot be executed: {last}',
                hint="give the file its execute permission",
            )
        if "cwd" in last or "chdir" in last:
            raise InvalidInput(f"the working directory cannot be entered: {last}")
        raise Internal(
            f"{os.path.basename(self._binary)} failed (status {code}): {complaint}",
            hint="the container was not started; is this machine allowed to run containers?",
        )


def _pump(streams: dict[int, Callable[[bytes], None]]) -> None:
    """Hand on what comes out of pipes until all are closed."""
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


def _which(name: str) -> str:
    for folder in (*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/sbin"):
        path = os.path.join(folder, name)
        if folder and os.access(path, os.X_OK):
            return path
    return ""
