"""An OCI runtime spec (`config.json`) for one step, with Docker's defaults."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from lamina.runtime.contract import BindMount, Network, TerminalSize, TmpfsMount
from lamina.runtime.seccomp import default_profile
from lamina.runtime.users import beneath
from lamina.system.mount_tree import supports_mount_setattr

if TYPE_CHECKING:
    from lamina.runtime.contract import Process, Sandbox
    from lamina.runtime.users import Identity

_CAPABILITIES = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
_ALL_CAPABILITIES = (
    *_CAPABILITIES,
    "CAP_AUDIT_CONTROL",
    "CAP_AUDIT_READ",
    "CAP_BLOCK_SUSPEND",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_DAC_READ_SEARCH",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE",
    "CAP_MAC_ADMIN",
    "CAP_MAC_OVERRIDE",
    "CAP_NET_ADMIN",
    "CAP_NET_BROADCAST",
    "CAP_PERFMON",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_NICE",
    "CAP_SYS_PACCT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
)
_CAPABILITY_BITS = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_LINUX_IMMUTABLE": 9,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_BROADCAST": 11,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_IPC_LOCK": 14,
    "CAP_IPC_OWNER": 15,
    "CAP_SYS_MODULE": 16,
    "CAP_SYS_RAWIO": 17,
    "CAP_SYS_CHROOT": 18,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_PACCT": 20,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_BOOT": 22,
    "CAP_SYS_NICE": 23,
    "CAP_SYS_RESOURCE": 24,
    "CAP_SYS_TIME": 25,
    "CAP_SYS_TTY_CONFIG": 26,
    "CAP_MKNOD": 27,
    "CAP_LEASE": 28,
    "CAP_AUDIT_WRITE": 29,
    "CAP_AUDIT_CONTROL": 30,
    "CAP_SETFCAP": 31,
    "CAP_MAC_OVERRIDE": 32,
    "CAP_MAC_ADMIN": 33,
    "CAP_SYSLOG": 34,
    "CAP_WAKE_ALARM": 35,
    "CAP_BLOCK_SUSPEND": 36,
    "CAP_AUDIT_READ": 37,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
    "CAP_CHECKPOINT_RESTORE": 40,
}
_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
_READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_SHM_SIZE = 64 << 20
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def make_spec(
    process: Process,
    sandbox: Sandbox,
    identity: Identity,
    *,
    files: tuple[BindMount, ...],
    cgroup: str,
    terminal: TerminalSize | None = None,
) -> dict[str, Any]:
    """The spec as a JSON object.

    Args:
        files: resolv.conf and hosts, mounted read-only.
        cgroup: the container's cgroup path, beginning with `/`.
        terminal: the size of the process's terminal, None for no terminal.
    """
    namespaces = [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "cgroup")]
    if sandbox.network is Network.NONE:
        namespaces.append({"type": "network"})
    elif sandbox.network is Network.DEFAULT and sandbox.namespace:
        namespaces.append({"type": "network", "path": sandbox.namespace})
    linux: dict[str, Any] = {
        "cgroupsPath": cgroup,
        "namespaces": namespaces,
        "resources": _resources(sandbox),
    }
    if not sandbox.insecure:
        linux["maskedPaths"] = list(_MASKED)
        linux["readonlyPaths"] = list(_READONLY)
        linux["seccomp"] = default_profile(os.uname().machine)
    return {
        "ociVersion": "1.0.2",
        "hostname": sandbox.hostname or "buildkitsandbox",
        "root": {"path": sandbox.rootfs, "readonly": sandbox.readonly},
        "process": make_process(process, sandbox, identity, terminal),
        "mounts": [
            *_system_mounts(sandbox),
            *(_mount(mount, sandbox.rootfs) for mount in (*files, *sandbox.mounts)),
        ],
        "linux": linux,
    }


def make_process(
    process: Process, sandbox: Sandbox, identity: Identity, terminal: TerminalSize | None = None
) -> dict[str, Any]:
    """The `process` of a spec, which also describes a further process of a container."""
    capabilities = _held(_ALL_CAPABILITIES if sandbox.insecure else _CAPABILITIES)
    # A user other than root starts without capabilities, but may regain what files grant.
    effective = capabilities if identity.uid == 0 else []
    env = list(process.env)
    if not any(entry.startswith("HOME=") for entry in env):
        env.append(f"HOME={identity.home}")
    if not any(entry.startswith("PATH=") for entry in env):
        env.append(f"PATH={_PATH}")
    if terminal is not None and not any(entry.startswith("TERM=") for entry in env):
        env.append("TERM=" + os.environ.get("TERM", "xterm"))
    apparmor = {"apparmorProfile": sandbox.apparmor_profile} if sandbox.apparmor_profile else {}
    return {
        "terminal": terminal is not None,
        **_console_size(terminal),
        "user": {
            "uid": identity.uid,
            "gid": identity.gid,
            "additionalGids": [identity.gid, *identity.additional],
        },
        "args": list(process.args),
        "env": env,
        "cwd": process.cwd,
        "capabilities": {
            "bounding": capabilities,
            "effective": effective,
            "permitted": effective,
        },
        "rlimits": [
            {
                "type": f"RLIMIT_{limit.name.upper()}",
                "soft": limit.soft & (1 << 64) - 1,
                "hard": limit.hard & (1 << 64) - 1,
            }
            for limit in sandbox.rlimits
        ],
        "noNewPrivileges": False,
        **apparmor,
    }


def _console_size(terminal: TerminalSize | None) -> dict[str, Any]:
    """Without it crun sets 0 by 0; runc does not need it."""
    if terminal is None or terminal == TerminalSize():
        return {}
    return {"consoleSize": {"width": terminal.columns, "height": terminal.rows}}


def _system_mounts(sandbox: Sandbox) -> list[dict[str, Any]]:
    sealed = [] if sandbox.insecure else ["ro"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {
            "destination": "/dev/shm",
            "type": "tmpfs",
            "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", f"size={_SHM_SIZE}"],
        },
        {
            "destination": "/dev/mqueue",
            "type": "mqueue",
            "source": "mqueue",
            "options": ["nosuid", "noexec", "nodev"],
        },
        {
            "destination": "/sys",
            "type": "sysfs",
            "source": "sysfs",
            "options": ["nosuid", "noexec", "nodev", *sealed],
        },
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", *sealed],
        },
    ]


def _mount(mount: BindMount | TmpfsMount, rootfs: str) -> dict[str, Any]:
    if isinstance(mount, TmpfsMount):
        options = ["nosuid", "nodev", f"mode={_tmpfs_mode(mount, rootfs):o}"]
        if mount.size:
            options.append(f"size={mount.size}")
        if mount.readonly:
            options.append("ro")
        return {
            "destination": mount.target,
            "type": "tmpfs",
            "source": "tmpfs",
            "options": options,
        }
    return {
        "destination": mount.target,
        "type": "bind",
        "source": mount.source,
        "options": _bind_options(mount),
    }


def _bind_options(mount: BindMount) -> list[str]:
    if not mount.recursive:
        return ["bind", "ro" if mount.readonly else "rw"]
    if not mount.readonly:
        return ["rbind", "rw"]
    # `ro` alone would leave mounts below it writable.
    return ["rbind", "rro" if supports_mount_setattr() else "ro"]


def _tmpfs_mode(mount: TmpfsMount, rootfs: str) -> int:
    """The mode of the directory that it covers, if there is one, as in runc."""
    try:
        return stat.S_IMODE(os.lstat(beneath(rootfs, mount.target)).st_mode)
    except OSError:
        return 0o1777


def _resources(sandbox: Sandbox) -> dict[str, Any]:
    limits = sandbox.resources
    memory = {
        name: value
        for name, value in (("limit", limits.memory), ("swap", limits.memory_swap))
        if value
    }
    cpu = {
        name: value
        for name, value in (
            ("shares", limits.cpu_shares),
            ("period", limits.cpu_period),
            ("quota", limits.cpu_quota),
            ("cpus", limits.cpuset_cpus),
            ("mems", limits.cpuset_mems),
        )
        if value
    }
    resources: dict[str, Any] = {}
    if memory:
        resources["memory"] = memory
    if cpu:
        resources["cpu"] = cpu
    resources["devices"] = [_device_rule(sandbox)]
    return resources


def _device_rule(sandbox: Sandbox) -> dict[str, Any]:
    """The rule before those of CDI devices.

    A step has CAP_MKNOD, as in
    BuildKit, and can make a
    node of any device, but the
    device cgroup prevents it
    from opening one. crun and runc add rules of their own for null, zero, full, random,
    urandom, tty, console, ptmx and the pts, and do not start a container whose rules they cannot
    apply.
    """
    return {"allow": sandbox.insecure, "access": "rwm"}


def _held(wanted: tuple[str, ...]) -> list[str]:
    """The capabilities that are also in lamina's own bounding set."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("CapBnd:"):
                bounding = int(line.split()[1], 16)
                return [name for name in wanted if bounding >> _CAPABILITY_BITS[name] & 1]
    return list(wanted)
