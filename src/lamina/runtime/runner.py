"""Running containers with crun or runc, whose command lines agree.

The runtime is started as the first process of a pid namespace of its own, below a guard that
the kernel kills together with the thread that waits for it. So whatever becomes of lamina, no
process outlives it:

    lamina ─ guard (unshare --pid --kill-child) ─ crun ─ the step's processes

The guard asks the kernel for its own death first and only then looks whether its parent is
still there; in the other order a parent killed in between would leave it alive.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import Internal, InvalidInput, NotFound, Unsupported
from lamina.runtime.cgroups import (
    group_below,
    killed_for_memory,
    make_group,
    remove_cgroup,
    sweep_cgroups,
)
from lamina.runtime.contract import (
    STOP_TIMEOUT,
    CommandNotExecutable,
    CommandNotFound,
    ExitStatus,
)
from lamina.runtime.netfiles import (
    above,
    find_stubs,
    make_folders,
    remove_stubs,
    write_network_files,
)
from lamina.runtime.seccomp import default_profile
from lamina.runtime.seccomp_filter import filter_of
from lamina.runtime.spec import make_spec
from lamina.runtime.stopping import Stopping, kill_tree
from lamina.runtime.users import find_identity
from lamina.system.process import Child, children_of, pump, spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from lamina.runtime.contract import Process, Sandbox
    from lamina.system.cancel import Cancellation

# Mount points that stay where a command has run, as with BuildKit.
_OF_EVERY_IMAGE = (("proc",), ("sys",), ("dev",))
_SECCOMP_FILTER = "run.oci.seccomp_bpf_data"
_NO_DEVICE_RULES = ("RLIM_MEMLOCK", "devices.deny", "mountpoint for devices")
_TOOLS = ("setpriv", "unshare", "sh")
_STILL_OURS = '[ "$PPID" = "$0" ] && exec "$@"'
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


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
    """A Runtime over an OCI runtime's command line. Making one sweeps up after dead processes.

    Args:
        binary: path of crun or runc.
        scratch: a folder of a private tmpfs, as secrets are in bundles and the runtime's state.
        cache: a folder that outlives this process, for the compiled seccomp filter.
        grace: how long (seconds) a cancelled step may go on after SIGTERM.
    """

    def __init__(
        self, binary: str, scratch: str, cache: str = "", grace: float = STOP_TIMEOUT
    ) -> None:
        self._binary = binary
        self._grace = grace
        self._running: set[Stopping] = set()
        self._scratch = scratch
        self._cache = cache or scratch
        self._lock = threading.Lock()
        self._filter: str | None = None
        self._swept: set[str] = set()
        self._sweep("")
        for tool in _TOOLS:
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
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        own = [null, out_write]
        try:
            return self._run(
                process, sandbox, null, out_write, own, {out_read: stdout}, stderr, cancel
            )
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
        return self._run(process, sandbox, stdin, stdout, [], {}, stderr, cancel)

    def _run(
        self,
        process: Process,
        sandbox: Sandbox,
        stdin: int,
        stdout: int,
        own: list[int],
        streams: dict[int, Callable[[bytes], None]],
        stderr: Callable[[bytes], None],
        cancel: Cancellation,
    ) -> ExitStatus:
        """Run to the end. `own` are descriptors to close once the container has them."""
        with self._bundle(process, sandbox, terminal=False) as bundle:
            err_read, err_write = os.pipe2(os.O_CLOEXEC)
            try:
                try:
                    # Out of the terminal's group: Ctrl-C reaches lamina alone, which cancels.
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
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with self._bundle(process, sandbox, terminal=terminal) as bundle:
                # A terminal is the runtime's to set up, through standard input.
                guard = bundle.spawn(0 if interactive or terminal else null, 1, 2)
                with _killed_at_the_end(guard), _forwarding(guard, terminal=terminal):
                    return bundle.outcome(guard.wait())
        finally:
            os.close(null)

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

    def _sweep(self, parent: str) -> None:
        """Once for each parent: dead processes may have left groups there."""
        with self._lock:
            known = parent in self._swept
            self._swept.add(parent)
        if not known:
            sweep_cgroups(parent)

    def _bundle(self, process: Process, sandbox: Sandbox, *, terminal: bool) -> _Bundle:
        self._sweep(sandbox.cgroup_parent)
        annotations = {}
        if not sandbox.insecure and os.path.basename(self._binary).startswith("crun"):
            annotations = self._seccomp_annotation()
        return _Bundle(self._binary, self._scratch, process, sandbox, annotations, terminal)

    def _seccomp_annotation(self) -> dict[str, str]:
        with self._lock:
            if self._filter is None:
                from base64 import b64encode

                program = filter_of(default_profile(os.uname().machine), self._cache)
                self._filter = b64encode(program).decode()
        return {_SECCOMP_FILTER: self._filter} if self._filter else {}


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
        from lamina.runtime.terminal import resize

        resize(guard.pid)

    previous = {number: signal.signal(number, forward) for number in _FORWARDED}
    if terminal:
        previous[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, follow)
    previous[signal.SIGINT] = signal.signal(signal.SIGINT, ignore)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Bundle:
    """The folder of one container, and what must be undone after it."""

    def __init__(
        self,
        binary: str,
        scratch: str,
        process: Process,
        sandbox: Sandbox,
        annotations: dict[str, str],
        terminal: bool,
    ) -> None:
        import json
        import shutil

        if not process.args:
            raise InvalidInput("there is no command to run")
        self._binary = binary
        self._id = "lamina-" + os.urandom(8).hex()
        self._folder = os.path.join(scratch, self._id)
        self._state = os.path.join(scratch, "runtime")
        self._process = process
        self._cgroup = group_below(sandbox.cgroup_parent)
        identity = find_identity(sandbox.rootfs, process.user)
        os.mkdir(self._folder, 0o700)
        files = write_network_files(self._folder, sandbox)
        spec = make_spec(
            process,
            sandbox,
            identity,
            files=files,
            cgroup=self._cgroup + "/run",
            terminal=terminal,
        )
        if annotations:
            spec["annotations"] = annotations
        places = [mount.target for mount in (*files, *sandbox.mounts)]
        if sandbox.devices:
            from lamina.runtime.cdi_edits import apply_edits, places_of

            try:
                apply_edits(spec, sandbox.devices)
            except BaseException:
                shutil.rmtree(self._folder, ignore_errors=True)
                raise
            places += places_of(sandbox.devices)
        config = os.path.join(self._folder, "config.json")
        fd = os.open(config, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(json.dumps(spec))
        if sandbox.cgroup_parent:
            make_group(self._cgroup)
        self._rootfs = sandbox.rootfs
        self._memory = sandbox.resources.memory
        make_folders(sandbox.rootfs, _OF_EVERY_IMAGE)
        self._stubs = find_stubs(sandbox.rootfs, places)
        make_folders(sandbox.rootfs, above(self._stubs))

    def __enter__(self) -> _Bundle:
        return self

    def __exit__(self, *exception: object) -> None:
        import shutil

        remove_stubs(self._rootfs, self._stubs)
        if exception[0] is not None:
            shutil.rmtree(os.path.join(self._state, self._id), ignore_errors=True)
        remove_cgroup(self._cgroup)
        shutil.rmtree(self._folder, ignore_errors=True)

    def spawn(self, stdin: int, stdout: int, stderr: int, *, own_group: bool = False) -> Child:
        command = [
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *("sh", "-c", _STILL_OURS, str(os.getpid())),
            *("unshare", "--pid", "--fork", "--kill-child=KILL"),
            *("--mount-proc", "--propagation", "slave", "--"),
            self._binary,
            *("--root", self._state, "--log", self._log),
            *("run", "--bundle", self._folder, self._id),
        ]
        return spawn(command, stdin=stdin, stdout=stdout, stderr=stderr, own_group=own_group)

    @property
    def _name(self) -> str:
        return os.path.basename(self._binary)

    @property
    def _log(self) -> str:
        return os.path.join(self._folder, "log")

    def outcome(self, code: int) -> ExitStatus:
        """The step's status; raises if the runtime failed before there was one."""
        if code == 0:
            return ExitStatus(0)
        try:
            with open(self._log, encoding="utf-8", errors="replace") as file:
                complaint = file.read(1 << 16).strip()
        except OSError:
            complaint = ""
        if not complaint:
            killed = code == 128 + signal.SIGKILL
            return ExitStatus(code, killed and killed_for_memory(self._cgroup, self._memory))
        return self._explain(complaint, code)

    def _explain(self, complaint: str, code: int) -> ExitStatus:
        command = self._process.args[0] if self._process.args else ""
        last = complaint.splitlines()[-1]
        if any(mark in last for mark in _NO_DEVICE_RULES):
            raise Unsupported(
                f"{self._name} cannot restrict the devices of a step: {last}",
                hint="mount the devices cgroup, or cgroup version 2; crun there needs unlimited"
                " locked memory (ulimit -l unlimited), runc does not",
            )
        if "exec" in last and ("not found" in last or "o such file or directory" in last):
            raise CommandNotFound(
                f'the command "{command}" is not in the image: {last}',
                hint="check its spelling and PATH; a script also needs its #! interpreter",
            )
        if "xec format error" in last:
            raise Unsupported(
                f'the command "{command}" is no program for this machine: {last}',
                hint="a script needs a #! line; a program must be made for this machine",
            )
        # crun says that a folder's execution is not permitted.
        if "exec" in last and ("ermission denied" in last or "Operation not permitted" in last):
            raise CommandNotExecutable(
                f'the command "{command}" cannot be executed: {last}',
                hint="give the file its execute permission",
            )
        if "cwd" in last or "chdir" in last:
            raise InvalidInput(f"the working directory cannot be entered: {last}")
        raise Internal(
            f"{self._name} failed (status {code}): {complaint}",
            hint="the container was not started; is this machine allowed to run containers?",
        )


def _which(name: str) -> str:
    for folder in (*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/sbin"):
        path = os.path.join(folder, name)
        if folder and os.access(path, os.X_OK):
            return path
    return ""
