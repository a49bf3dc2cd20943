"""The port of the runtime: processes, sandboxes and exit statuses."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

from lamina.base.errors import NotFound, PermissionDenied
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from lamina.base.resources import ResourceUsage
    from lamina.runtime.cdi import ContainerEdits
    from lamina.system.cancel import Cancellation


STOP_TIMEOUT = 10.0
"""The default time (seconds) that a cancelled step may run after SIGTERM."""


class Network(Enum):
    """DEFAULT is the configured network, by default that of the host. HOST is the host's network.
    NONE has only a loopback device."""

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
    """A file or directory of the host at `target`; `source` must exist.

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
    """Lines of resolv.conf. Empty fields keep the machine's values."""

    nameservers: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    search: tuple[str, ...] = ()


class Networks(Protocol):
    """Gives each step a separate network. Methods are called from many threads."""

    def attached(self, hostname: str, *, insecure: bool) -> AbstractContextManager[str]:
        """The path of a connected network namespace, valid during the block.

        Args:
            hostname: the host name that the step requests, "" for none.
            insecure: whether the step may change the network.

        Raises Unavailable.
        """
        ...


class RuntimeSettings(NamedTuple):
    """Settings of the administrator for all steps.

    `binary` is the OCI runtime, "" for crun or runc. `dns` overrides the machine's resolv.conf.
    `cgroup_parent` is the default parent of cgroups. `parallelism` limits the steps that run at
    the same time, 0 for any number. `network` is the default network. If it is DEFAULT, `networks`
    provides it: None is the machine's. `stop_timeout` is how long (seconds) a cancelled step may
    run after SIGTERM.
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
    """The environment of a process: files, network and limits.

    `rootfs` is a mounted tree, writable unless `readonly`. `insecure` removes all restrictions
    except the namespaces. `namespace` is the path of the network namespace for the DEFAULT
    network, "" for the machine's. `extra_hosts` are (name, address). `devices` are the edits that
    add devices.
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


class TerminalSize(NamedTuple):
    """A size in characters. 0 by 0 is unknown."""

    columns: int = 0
    rows: int = 0


class Pipes(NamedTuple):
    """The descriptors of a process: its standard streams, and `further` as 3, 4, …"""

    stdin: int
    stdout: int
    stderr: int
    further: tuple[int, ...] = ()


class Terminal(NamedTuple):
    """The terminal of a process: `slave` is the slave side of a pseudo-terminal. The process gets a
    terminal of its container, which the runtime connects with it, and which has the same size at
    first."""

    slave: int


class RunningProcess(Protocol):
    """A process of a container. Methods are called from any thread."""

    def send(self, number: int) -> None:
        """Send a signal; nothing happens if the process has ended."""
        ...

    def resize(self, size: TerminalSize) -> None:
        """Set the size of its terminal, as soon as there is one. Nothing happens if it has none or
        has ended."""
        ...

    def wait(self) -> ExitStatus:
        """Wait for its end.

        Raises NotFound (no such command or user; the container has stopped), PermissionDenied and
        others if it was never started.
        """
        ...


class Container(Protocol):
    """A sandbox for any number of processes. Methods are called from any thread.

    The first process is the init process: when it ends, the kernel kills the others, and no
    further process can be started.
    """

    def start(self, process: Process, streams: Pipes | Terminal) -> RunningProcess:
        """Start a process. `streams` are duplicated: the caller can close its own at once.

        Raises NotFound if the container is closed.
        """
        ...


class Runtime(Protocol):
    """Runs processes in fresh containers. Methods are called from many threads."""

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
        """Run to the end, and pass on all output of both streams.

        `measured` is called with what the process used, however it ended, also if it was killed.

        Leaves no process, mount or cgroup, even after an error, and removes what the runtime
        created in `rootfs`. Raises Cancelled, NotFound (no such command, user, or
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
        """Run with descriptors of the caller as standard streams. The caller closes them."""
        ...

    def attach(
        self, process: Process, sandbox: Sandbox, *, terminal: bool, interactive: bool
    ) -> ExitStatus:
        """Run interactively, with the standard streams of this process. Main thread only.

        Without `interactive` standard input is empty, or with a `terminal` as the runtime sets it.
        Signals of this process are forwarded. Those of the terminal (Ctrl-C) reach the container
        directly.
        """
        ...

    def container(self, sandbox: Sandbox) -> AbstractContextManager[Container]:
        """Create a container for the block. At its end the processes are killed.

        Leaves no process, mount or cgroup.
        """
        ...

    def hurry(self) -> None:
        """Kill cancelled steps that still run. From now on, cancellation kills at once."""
        ...
