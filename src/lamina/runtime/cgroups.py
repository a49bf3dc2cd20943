"""Control groups: making the host's mounts agreeable to the runtime, and sweeping up."""

from __future__ import annotations

import os

PARENT = "/lamina"
_ROOT = "/sys/fs/cgroup"


def hide_hybrid_hierarchy() -> None:
    """Unmount `unified` where it sits among v1 controllers.

    crun (1.8.1, Debian 12) refuses such a mixture. An empty tmpfs takes its place, because the
    runtime makes folders there, which would stay on the host. Only call this in a private mount
    namespace.
    """
    unified = os.path.join(_ROOT, "unified")
    if os.path.ismount(unified):
        from lamina.system.mount import mount, unmount

        unmount(unified)
        mount("tmpfs", unified, "tmpfs", 0, "size=1m")


def remove_cgroup(path: str) -> None:
    """Remove a container's groups in every hierarchy, if a killed runtime left them."""
    for hierarchy in _hierarchies():
        _remove(hierarchy + path)


def sweep_cgroups() -> None:
    """Remove what dead processes left below our parent: groups with nothing in them."""
    for hierarchy in _hierarchies():
        parent = hierarchy + PARENT
        try:
            names = os.listdir(parent)
        except OSError:
            continue
        for name in names:
            if os.path.isdir(os.path.join(parent, name)):
                _remove(os.path.join(parent, name))


def _hierarchies() -> list[str]:
    if os.path.exists(os.path.join(_ROOT, "cgroup.controllers")):
        return [_ROOT]
    try:
        return [entry.path for entry in os.scandir(_ROOT) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _remove(path: str) -> None:
    """rmdir takes empty groups only, so one in use stays."""
    try:
        children = [entry.path for entry in os.scandir(path) if entry.is_dir()]
    except OSError:
        return
    for child in children:
        _remove(child)
    try:
        os.rmdir(path)
    except OSError:
        return
