"""One container: its bundle, its guard process, and its exit status.

The runtime is the first process of a new pid namespace. Its parent is a guard that the kernel
kills when the thread that waits for it ends. So no process outlives lamina, even if lamina is
killed:

    lamina ─ guard (unshare --pid --kill-child) ─ crun ─ the step's processes

The guard first sets its parent death signal and then checks that its parent still runs. In the
other order it would survive a parent that is killed in between.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import Internal, InvalidInput, Unsupported
from lamina.runtime.cgroups import group_below, killed_for_memory, make_group, remove_cgroup
from lamina.runtime.contract import CommandNotExecutable, CommandNotFound, ExitStatus
from lamina.runtime.mount_points import above, find_stubs, make_folders, remove_stubs
from lamina.runtime.netfiles import write_network_files
from lamina.runtime.spec import make_spec
from lamina.runtime.users import find_identity
from lamina.system.process import Child, spawn
from lamina.system.removal import discard_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamina.base.resources import ResourceUsage
    from lamina.runtime.contract import Process, Sandbox, TerminalSize
    from lamina.runtime.mount_points import Stub
    from lamina.runtime.rootless import StepLimits

# Mount points that stay where a command has run, as with BuildKit.
_OF_EVERY_IMAGE = (("proc",), ("sys",), ("dev",))
_NO_DEVICE_RULES = ("RLIM_MEMLOCK", "devices.deny", "mountpoint for devices")
_STILL_OURS = '[ "$PPID" = "$0" ] && exec "$@"'


class Bundle:
    """The bundle directory of one container, and the clean-up after it."""

    def __init__(
        self,
        binary: str,
        scratch: str,
        process: Process,
        sandbox: Sandbox,
        annotations: dict[str, str],
        terminal: TerminalSize | None,
        limits: StepLimits | None = None,
    ) -> None:
        if not process.args:
            raise InvalidInput("there is no command to run")
        self._binary = binary
        self._limits = limits
        self._id = "lamina-" + os.urandom(8).hex()
        self._folder = os.path.join(scratch, self._id)
        self._state = os.path.join(scratch, "runtime")
        self._process = process
        self._cgroup = group_below(sandbox.cgroup_parent)
        self._sandbox = sandbox
        self._rootfs = sandbox.rootfs
        self._targets = [mount.target for mount in sandbox.mounts]
        self._memory = sandbox.resources.memory
        self._stubs: list[Stub] = []
        os.mkdir(self._folder, 0o700)
        try:
            self._fill(sandbox, annotations, terminal)
        except BaseException:
            self._remove_folder()
            raise

    def _fill(
        self, sandbox: Sandbox, annotations: dict[str, str], terminal: TerminalSize | None
    ) -> None:
        import json

        files = write_network_files(self._folder, sandbox)
        identity = find_identity(sandbox.rootfs, self._process.user)
        spec = make_spec(
            self._process,
            sandbox,
            identity,
            files=files,
            cgroup=self._cgroup + "/run",
            terminal=terminal,
        )
        if self._limits is not None:
            from lamina.runtime.rootless import limit_to_namespace

            limit_to_namespace(spec, sandbox, identity, self._limits)
        if annotations:
            spec["annotations"] = annotations
        targets = [*(file.target for file in files), *self._targets]
        if sandbox.devices:
            from lamina.runtime.cdi_edits import apply_edits, mount_points_of

            apply_edits(spec, sandbox.devices)
            targets += mount_points_of(sandbox.devices)
        self.write("config.json", json.dumps(spec))
        if sandbox.cgroup_parent:
            make_group(self._cgroup)
        make_folders(sandbox.rootfs, _OF_EVERY_IMAGE)
        self._stubs = find_stubs(sandbox.rootfs, targets)
        make_folders(sandbox.rootfs, above(self._stubs))

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *exception: object) -> None:
        remove_stubs(self._rootfs, self._stubs)
        if exception[0] is not None:
            self.discard_state()
        remove_cgroup(self._cgroup)
        self._remove_folder()

    def _remove_folder(self) -> None:
        discard_tree(self._folder)

    @contextmanager
    def metered(self, measured: Callable[[ResourceUsage], None]) -> Iterator[None]:
        """Report what the container used during the block."""
        from lamina.runtime.resource_usage import ResourceMeter

        meter = ResourceMeter(self._cgroup, self._sandbox)
        try:
            yield
        finally:
            measured(meter.usage())

    def discard_state(self) -> None:
        """Remove the runtime's state of a container that was killed."""
        discard_tree(os.path.join(self._state, self._id))

    def spawn(self, stdin: int, stdout: int, stderr: int, *, own_group: bool = False) -> Child:
        command = self.run_command()
        return spawn(command, stdin=stdin, stdout=stdout, stderr=stderr, own_group=own_group)

    def run_command(self, *options: str) -> list[str]:
        """The guard's command: it runs the container with its first process."""
        return [
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *("sh", "-c", _STILL_OURS, str(os.getpid())),
            *("unshare", "--pid", "--fork", "--kill-child=KILL"),
            *("--mount-proc", "--propagation", "slave", "--"),
            *self._runtime(self._log),
            *("run", "--bundle", self._folder, *options, self._id),
        ]

    def exec_command(self, runtime: int, log: str, *options: str) -> list[str]:
        """The command that runs a further process.

        Args:
            runtime: the process that runs the container, in whose namespaces its state is valid.
        """
        return [
            *("nsenter", "--target", str(runtime), "--pid", "--mount", "--"),
            *self._runtime(log),
            *("exec", *options, self._id),
        ]

    def _runtime(self, log: str) -> list[str]:
        """The command line of the runtime up to its own command."""
        groups: tuple[str, ...] = ()
        if self._name.startswith("crun"):
            # Without a prefix, crun takes the text before a colon for a type.
            log = f"file:{log}"
            if self._limits is not None:  # runc in a user namespace goes on without
                groups = ("--cgroup-manager", "disabled")
        return [self._binary, *groups, "--root", self._state, "--log", log]

    def path(self, name: str) -> str:
        """The path of a file of the bundle."""
        return os.path.join(self._folder, name)

    def write(self, name: str, text: str) -> str:
        """Write a new file, which may contain secrets. Returns its path."""
        path = self.path(name)
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        return path

    @property
    def _name(self) -> str:
        return os.path.basename(self._binary)

    @property
    def _log(self) -> str:
        return os.path.join(self._folder, "log")

    def outcome(self, code: int) -> ExitStatus:
        """The step's exit status. Raises if the runtime failed before the step had one."""
        return self.outcome_of(self._process, code, self._log)

    def outcome_of(self, process: Process, code: int, log: str) -> ExitStatus:
        """The exit status of a process; `log` is the path of the runtime's log."""
        if code == 0:
            return ExitStatus(0)
        try:
            with open(log, encoding="utf-8", errors="replace") as file:
                complaint = file.read(1 << 16).strip()
        except OSError:
            complaint = ""
        if not complaint:
            killed = code == 128 + signal.SIGKILL
            return ExitStatus(code, killed and killed_for_memory(self._cgroup, self._memory))
        return self._explain(complaint, code, process.args[0] if process.args else "")

    def _explain(self, complaint: str, code: int, command: str) -> ExitStatus:
        last = complaint.splitlines()[-1]
        if any(mark in last for mark in _NO_DEVICE_RULES):
            raise Unsupported(
                f"{self._name} cannot restrict the devices of a step: {last}",
                hint="mount the devices cgroup, or cgroup version 2; crun there needs unlimited"
                " locked memory (ulimit -l unlimited), runc does not",
            )
        if self._targets:
            from lamina.runtime.refused_mounts import refused_mount

            refusal = refused_mount(last, self._rootfs, self._targets)
            if refusal is not None:
                raise refusal
        if "exec" in last and ("not found" in last or "o such file or directory" in last):
            raise CommandNotFound(
                f'the command "{command}" is not in the image: {last}',
                hint="check its spelling and PATH; a script also needs its #! interpreter",
            )
        if "xec format error" in last:
            raise Unsupported(
                f'the command "{command}" cannot be executed on this machine: {last}',
                hint="a script needs a #! line; a program must be built for this architecture",
            )
        # crun says that a directory's execution is not permitted.
        if "exec" in last and ("ermission denied" in last or "Operation not permitted" in last):
            raise CommandNotExecutable(
                f'the command "{command}" cannot be executed: {last}',
                hint="make the file executable (chmod +x)",
            )
        if "cwd" in last or "chdir" in last:
            raise InvalidInput(f"the working directory cannot be entered: {last}")
        raise Internal(
            f"{self._name} failed (status {code}): {complaint}",
            hint="the container was not started; does this machine allow containers?",
        )
