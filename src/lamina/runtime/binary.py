"""The choice of the OCI runtime."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.errors import NotFound
from lamina.system.process import which

if TYPE_CHECKING:
    from lamina.system.user_namespace import IdMap

_CAP_SYS_RESOURCE = 24


def find_runtime(preferred: str = "", ids: IdMap | None = None) -> str:
    """The path of crun, else of runc. Raises NotFound.

    If crun cannot restrict the devices of steps, runc is preferred. In a user namespace, with its
    `ids`, there is nothing to restrict: steps cannot make device nodes.
    """
    suits = ids is not None or _crun_restricts_devices()
    names = ("crun", "runc") if suits else ("runc", "crun")
    for name in (preferred,) if preferred else names:
        path = which(name)
        if path:
            return path
    raise NotFound(
        f"no OCI runtime found: {preferred or 'neither crun nor runc'} is on PATH",
        hint="install one: apt-get install crun",
    )


def _crun_restricts_devices() -> bool:
    """Whether crun supports it. On cgroup version 2, crun (1.8.1) sets RLIMIT_MEMLOCK to unlimited
    for it."""
    if not os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        return True
    import resource

    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] == resource.RLIM_INFINITY:
        return True
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        held = next((int(line.split()[1], 16) for line in file if line.startswith("CapEff:")), 0)
    return bool(held >> _CAP_SYS_RESOURCE & 1)
