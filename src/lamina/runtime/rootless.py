"""Changes an OCI runtime spec for a user namespace (compare `runc spec --rootless`)."""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING, Any

from lamina.base.errors import Unsupported
from lamina.base.named_tuple import NamedTuple
from lamina.runtime.contract import Network
from lamina.system.mount_tree import mounts_below, supports_mount_setattr
from lamina.system.process import run_silently
from lamina.system.user_namespace import RANGES_HINT

if TYPE_CHECKING:
    from lamina.runtime.contract import Sandbox
    from lamina.runtime.users import Identity
    from lamina.system.user_namespace import IdMap

_TTY = 5
_CLONE_NEWUTS = 0x04000000
NO_CGROUPS = (
    "resource limits and cgroup parents are ignored: this user has no control groups of its own"
)
_EMPTY = ["nosuid", "noexec", "nodev", "ro"]


class StepLimits(NamedTuple):
    """What steps in the user namespace of this process can have: users and groups, and (with
    `hostname`) a host name of their own. They have no control groups."""

    ids: IdMap
    hostname: bool


def probe_limits(ids: IdMap) -> StepLimits:
    """Try what steps need. Raises Unsupported if they cannot have a /proc of their own."""
    own_proc = ["unshare", "--pid", "--fork", "--mount-proc", "--", "true"]
    if mounts_below("/proc") and run_silently(own_proc) != 0:
        raise Unsupported(
            "steps cannot have their own /proc, because parts of the /proc of this container are"
            " hidden",
            hint="start the container with --security-opt unmask=/proc/* (Podman),"
            " --security-opt systempaths=unconfined (Docker) or procMount: Unmasked (Kubernetes)",
        )
    return StepLimits(ids, _can_set_hostname())


def _can_set_hostname() -> bool:
    """Whether the seccomp filter of a container permits sethostname(2)."""
    done: list[int] = []

    def run() -> None:  # a namespace of a thread ends with it
        libc = ctypes.CDLL(None)
        done.append(libc.unshare(_CLONE_NEWUTS) or libc.sethostname(b"probe", 5))

    thread = threading.Thread(target=run, name="probe")
    thread.start()
    thread.join()
    return done == [0]


def limit_to_namespace(
    spec: dict[str, Any], sandbox: Sandbox, identity: Identity, limits: StepLimits
) -> None:
    """Remove what the kernel refuses in a user namespace. Raises Unsupported for other users."""
    ids = limits.ids
    if not ids.has_uid(identity.uid) or not ids.has_gid(identity.gid):
        raise Unsupported(
            f"the user {identity.uid}:{identity.gid} does not exist in the user namespace",
            hint=RANGES_HINT,
        )
    if not limits.hostname:
        del spec["hostname"]
    user = spec["process"]["user"]
    user["additionalGids"] = [gid for gid in user["additionalGids"] if ids.has_gid(gid)]
    # The control groups of the machine are not this user's. Without a path, runc goes on without.
    spec["linux"]["resources"] = {}
    del spec["linux"]["cgroupsPath"]
    spec["mounts"] = [_limited(mount, sandbox, ids) for mount in spec["mounts"]]


def _limited(mount: dict[str, Any], sandbox: Sandbox, ids: IdMap) -> dict[str, Any]:
    if mount["type"] == "devpts" and not ids.has_gid(_TTY):
        options = [option for option in mount["options"] if option != f"gid={_TTY}"]
        return {**mount, "options": options}
    if mount["type"] == "cgroup":
        return {**mount, "type": "tmpfs", "source": "tmpfs", "options": _EMPTY}
    if mount["type"] == "sysfs" and sandbox.network is not Network.NONE and not sandbox.namespace:
        # Only the owner of a network namespace can mount its sysfs.
        readonly = "rro" if supports_mount_setattr() else "ro"
        options = ["rbind", "nosuid", "noexec", "nodev", readonly]
        return {"destination": "/sys", "type": "bind", "source": "/sys", "options": options}
    return mount
