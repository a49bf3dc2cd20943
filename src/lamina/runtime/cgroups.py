"""Control groups of steps: creating, naming and removing them.

    /lamina/<pid namespace>-<pid>-<start time>-<random>/run

The name contains the process that uses the group, so groups of a killed lamina can be
distinguished from groups that a running one is about to use. The runtime removes only the lower
level: on version 2 the middle level still counts processes killed for lack of memory.

If a client sets another parent, lamina makes the missing directories above the group, marks them
with an extended attribute, and removes them with the last group below them. Existing directories
may have limits that an administrator set, so they stay.
"""

from __future__ import annotations

import os
import posixpath
import signal
import time
from contextlib import suppress

from lamina.base.errors import InvalidInput
from lamina.system.descent import walk_tree
from lamina.system.removal import discard_tree

PARENT = "/lamina"
_ROOT = "/sys/fs/cgroup"
_REMOVE_TIMEOUT = 2.0
_ABANDONED = 600.0
"""Seconds after which an empty group whose owner cannot be looked up is abandoned."""
_MADE_BY_US = "trusted.lamina.made"
_ATTEMPTS = 10


def hide_hybrid_hierarchy() -> None:
    """Cover `unified` with an empty tmpfs if it is mounted beside v1 controllers.

    crun (1.8.1, Debian 12) refuses such a hybrid. The runtime makes directories there, which would
    stay on the host. Only call this in a private mount namespace.
    """
    unified = os.path.join(_ROOT, "unified")
    if _is_cgroup(unified):
        from lamina.system.mount import mount

        mount("tmpfs", unified, "tmpfs", 0, "size=1m")


def group_below(parent: str) -> str:
    """A new group's path below `parent`, "" for lamina's own. Raises InvalidInput."""
    return posixpath.join(_place(parent), owned_name())


def make_group(path: str) -> None:
    """Make a group and its parents. Those that cannot be made are left to the runtime."""
    above = posixpath.dirname(path)
    for hierarchy in _hierarchies():
        if not _is_cgroup(hierarchy):
            continue
        for _ in range(_ATTEMPTS):
            try:
                _make_marked(hierarchy, above)
                os.mkdir(hierarchy + path, 0o755)
            except FileNotFoundError:
                continue  # another process removed an empty parent
            except OSError:
                pass
            break


def _make_marked(hierarchy: str, path: str) -> None:
    parts = path.strip("/").split("/")
    for depth in range(1, len(parts) + 1):
        folder = f"{hierarchy}/{'/'.join(parts[:depth])}"
        with suppress(FileExistsError):
            os.mkdir(folder, 0o755)
            os.setxattr(folder, _MADE_BY_US, b"1")


def _place(parent: str) -> str:
    """The path of a parent group. `..` does not lead above the root.

    `a-b.slice:c:` is systemd's syntax for a group in a slice: the result is the path of the slice.
    """
    if "\0" in parent:
        raise InvalidInput("the cgroup parent contains a null byte")
    slice_name, colon, _ = parent.partition(":")
    if colon and slice_name.endswith(".slice"):
        parts = slice_name.removesuffix(".slice").split("-")
        parent = "/".join(f"{'-'.join(parts[: n + 1])}.slice" for n in range(len(parts)))
    return "/" + posixpath.normpath(f"/{parent or PARENT}").lstrip("/")


def owned_name() -> str:
    """A new name that contains the process that owns it."""
    pid = os.getpid()
    return f"{_pid_namespace()}-{pid}-{_start_time(pid)}-{os.urandom(6).hex()}"


def killed_for_memory(path: str, limit: int) -> bool:
    """Whether the OOM killer killed a process of this group or below it.

    Version 2 counts killed processes. Version 1 loses the count with the runtime's own group, but
    keeps the peak usage: if that is `limit` (bytes; 0 is none), the OOM killer is the likely
    cause.
    """
    events = read_group_file(path, "memory.events")
    if events is not None:
        counts = dict(line.partition(" ")[::2] for line in events.splitlines())
        return counts.get("oom_kill", "0") != "0"
    peak = read_group_file(path, "memory.max_usage_in_bytes", "memory")
    return peak is not None and peak.strip().isdecimal() and 0 < limit <= int(peak)


def read_group_file(path: str, name: str, controller: str = "") -> str | None:
    """A file of a group, None if it does not exist.

    Args:
        controller: the name of the hierarchy of version 1, "" for version 2.
    """
    above = f"{_ROOT}/{controller}" if controller else _ROOT
    try:
        with open(f"{above}{path}/{name}", encoding="ascii") as file:
            return file.read()
    except (OSError, ValueError):
        return None


def remove_cgroup(path: str) -> None:
    """Remove a container's groups in every hierarchy, and kill the processes in them."""
    for hierarchy in _hierarchies():
        if _is_cgroup(hierarchy):
            _remove(hierarchy + path)
            _remove_marked(hierarchy, posixpath.dirname(path))
        else:
            # In place of `unified` the runtime wrote files to a plain directory.
            discard_tree(hierarchy + path)


def sweep_cgroups(parent: str = "") -> None:
    """Remove the groups of dead lamina processes below `parent` ("": lamina's own), and kill their
    processes.

    Processes of other pid namespaces cannot be looked up. Their groups are removed if they are
    empty and old: one that is in use has members, and the kernel keeps it.
    """
    place = _place(parent)
    namespace = _pid_namespace()
    for hierarchy in _hierarchies():
        try:
            names = os.listdir(hierarchy + place)
        except OSError:
            continue
        for name in names:
            owner = name.split("-")
            if len(owner) != 4 or not owner[1].isdecimal():
                continue
            path = f"{hierarchy}{place}/{name}"
            if owner[0] != namespace:
                _remove_abandoned(path)
            elif _start_time(int(owner[1])) != owner[2]:
                _remove(path)
        _remove_marked(hierarchy, place)


def _remove_abandoned(path: str) -> None:
    with suppress(OSError):
        if os.stat(path).st_mtime + _ABANDONED < time.time():
            _removed(path)


def _remove_marked(hierarchy: str, path: str) -> None:
    """Remove a directory that lamina made, and its parents, as long as they are empty."""
    with suppress(OSError):
        while path.strip("/") and os.getxattr(hierarchy + path, _MADE_BY_US):
            os.rmdir(hierarchy + path)
            path = posixpath.dirname(path)


def _is_cgroup(folder: str) -> bool:
    return os.path.exists(f"{folder}/cgroup.procs")


def _hierarchies() -> list[str]:
    if os.path.exists(os.path.join(_ROOT, "cgroup.controllers")):
        return [_ROOT]
    try:
        with os.scandir(_ROOT) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _remove(path: str) -> None:
    deadline = time.monotonic() + _REMOVE_TIMEOUT
    while not _removed(path) and time.monotonic() < deadline:
        _kill_members(path)
        time.sleep(0.002)


def _removed(path: str) -> bool:
    """Remove a group and those below it. False if one still has a process."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        # A group's files cannot be removed, but go with it.
        discard_tree(path)
        return not os.path.lexists(path)
    return True


def _kill_members(path: str) -> None:
    _kill_in(path, None)
    with suppress(OSError):
        for visit in walk_tree(path):
            if visit.is_directory:
                _kill_in(visit.name, visit.folder)


def _kill_in(group: str, dir_fd: int | None) -> None:
    try:
        flags = os.O_RDONLY | os.O_CLOEXEC
        with open(os.open(f"{group}/cgroup.procs", flags, dir_fd=dir_fd), encoding="ascii") as file:
            members = [int(line) for line in file]
    except (OSError, ValueError):
        return
    for pid in members:
        if pid > 0:  # 0 is a process of another pid namespace
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return "0"


def _start_time(pid: int) -> str:
    """The start time of a process, in ticks since boot; "" if it does not exist."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
