"""Changes an OCI runtime spec for a user namespace (compare `runc spec --rootless`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.errors import Unsupported
from lamina.runtime.contract import Network
from lamina.system.mount_tree import supports_mount_setattr
from lamina.system.user_namespace import RANGES_HINT

if TYPE_CHECKING:
    from lamina.runtime.contract import Sandbox
    from lamina.runtime.users import Identity
    from lamina.system.user_namespace import IdMap

_TTY = 5
_EMPTY = ["nosuid", "noexec", "nodev", "ro", "size=0"]


def limit_to_namespace(
    spec: dict[str, Any], sandbox: Sandbox, identity: Identity, ids: IdMap
) -> None:
    """Remove what the kernel refuses in a user namespace. Raises Unsupported for other users."""
    if not ids.has_uid(identity.uid) or not ids.has_gid(identity.gid):
        raise Unsupported(
            f"the user {identity.uid}:{identity.gid} does not exist in the user namespace",
            hint=RANGES_HINT,
        )
    user = spec["process"]["user"]
    user["additionalGids"] = [gid for gid in user["additionalGids"] if ids.has_gid(gid)]
    # The control groups of the machine are not this user's.
    spec["linux"]["resources"] = {}
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
