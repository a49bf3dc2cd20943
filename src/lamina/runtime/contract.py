"""The runtime's port: what to run, in what sandbox, and how it ended."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

from lamina.base.errors import NotFound, PermissionDenied
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from lamina.runtime.cdi import ContainerEdits
    from lamina.system.cancel import Cancellation


STOP_TIMEOUT = 10.0
"""How long (seconds) a cancelled step may go on after SIGTERM, by default."""


class Network(Enum):
    """DEFAULT is what the machine was set up to give to steps, its own network if nothing else;
    HOST is that in any case; NONE has a loopback device alone."""

    DEFAULT = "default"
    HOST = "host"
    NONE = "none"


class CommandNotFound(NotFound):
    """The image has no such command."""


class CommandNotExecutable(PermissionDenied):
    """The command is in the image, but cannot be executed."""


class Process(NamedTuple):
    """`env` entries are `NAME=value`; `user` is `name|uid[:group|gid]`, "" is root."""

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: str = ""


class BindMount(NamedTuple):
    """A file or folder of the host at `target`; `source` must exist.

    `recursive` shows what is mounted below it too, `readonly` as far as the kernel can (5.12).
    """

    source: str
    target: str
    readonly: bool = False
    recursive: bool = False


class TmpfsMount(NamedTuple):
    """`size` in bytes, 0 for the kernel's default."""

    target: str
    size: int = 0
    readonly: bool = False


class Rlimit(NamedTuple):
    """`name` as in `--ulimit` (`nofile`); -1 is unlimited."""

    name: str
    soft: int
    hard: int


class Dns(NamedTuple):
    """Lines of resolv.conf; what is empty stays as the machine has it."""

    nameservers: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    search: tuple[str, ...] = ()


class Networks(Protocol):
    """Gives steps networks of their own. Methods are called from many threads."""

    def attached(self, hostname: str, *, insecure: bool) -> AbstractContextManager[str]:
        """A connected network namespace, during the block: its path.

        Args:
            hostname: what the step wants to be called there, "" if it does not care.
            insecure: whether the step may change it.

        Raises Unavailable.
        """
        ...


class RuntimeSettings(NamedTuple):
    """What the administrator decided for all steps.

    `binary` is the OCI runtime, "" for crun or runc. `dns` is what resolv.conf says instead of
    the machine's own. `cgroup_parent` is where steps go that do not ask for another place.
    `parallelism` is how many steps may run at the same time, 0 for any number. `network` is what
    those get that do not ask for one, and if it is DEFAULT, `networks` where it is from: None is
    the machine's. `stop_timeout` is how long (seconds) a cancelled step may go on after SIGTERM.
    """

    binary: str = ""
    dns: Dns = Dns()
    cgroup_parent: str = ""
    apparmor_profile: str = ""
    parallelism: int = 0
    network: Network = Network.DEFAULT
    networks: Networks | None = None
    stop_timeout: float = STOP_TIMEOUT


class Resources(NamedTuple):
    """Limits of one step; 0 and "" are none."""

    memory: int = 0
    memory_swap: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""


class Sandbox(NamedTuple):
    """What surrounds a process.

    `rootfs` is a mounted, writable tree (unless `readonly`). `insecure` lifts every
    confinement but the namespaces. `namespace` is the path of the network namespace that the
    DEFAULT network is, "" for the machine's. `extra_hosts` are (name, address). `devices` is what
    changes so that devices are there.
    """

    rootfs: str
    mounts: tuple[BindMount | TmpfsMount, ...] = ()
    readonly: bool = False
    hostname: str = ""
    extra_hosts: tuple[tuple[str, str], ...] = ()
    network: Network = Network.DEFAULT
    namespace: str = ""
    insecure: bool = False
    rlimits: tuple[Rlimit, ...] = ()
    cgroup_parent: str = ""
    resources: Resources = Resources()
    dns: Dns = Dns()
    apparmor_profile: str = ""
    devices: tuple[ContainerEdits, ...] = ()


class ExitStatus(NamedTuple):
    """`code` is 128 + N when signal N killed the process."""

    code: int
    out_of_memory: bool = False


class Runtime(Protocol):
    """Runs one process in one fresh container. Methods are called from many threads."""

    def run(
        self,
        process: Process,
        sandbox: Sandbox,
        *,
        stdout: Callable[[bytes], None],
        stderr: Callable[[bytes], None],
        cancel: Cancellation,
    ) -> ExitStatus:
        """Run to the end, passing on every byte of both streams.

        Leaves no process, mount or cgroup, however it ends, and removes what the runtime itself
        had to create in `rootfs`. Raises Cancelled, NotFound (no such command, user, or
        runtime), PermissionDenied.
        """
        ...

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
        """The same with descriptors of the caller's, who keeps them, as standard streams."""
        ...

    def attach(
        self, process: Process, sandbox: Sandbox, *, terminal: bool, interactive: bool
    ) -> ExitStatus:
        """Run with this process's own standard streams, for a person to use. Main thread only.

        Without `interactive` standard input is empty, or with a `terminal` as the runtime has it.
        Signals that reach this process are handed on; what the terminal sends (Ctrl-C) reaches
        the container by itself.
        """
        ...

    def hurry(self) -> None:
        """Kill what was cancelled and still goes on; from now on cancelling kills at once."""
        ...
