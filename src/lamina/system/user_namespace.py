"""A user namespace, in which an ordinary user has the privileges that a build needs.

    container ID 0     the user
    container ID 1…    the user's ranges of /etc/subuid and /etc/subgid, if there are any

`newuidmap` and `newgidmap` (shadow) map the ranges. Without them or without ranges only ID 0 is
mapped. See user_namespaces(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError, PermissionDenied, Unsupported
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import NoReturn

RANGES_HINT = (
    "give the user more IDs: `usermod --add-subuids 100000-165535 --add-subgids 100000-165535"
    " USER` as root, install newuidmap (Debian and Ubuntu: uidmap), and use a new store"
)
_CLONE_NEWUSER = 0x10000000
_CAP_SYS_ADMIN = 21
_INITIAL = "user:[4026531837]"
"""The initial user namespace (Linux: PROC_USER_INIT_INO)."""
_MOST_IDS = (1 << 32) - 2
_SUBORDINATE_IDS = ("/etc/subuid", "/etc/subgid")
_TOOLS = ("newuidmap", "newgidmap")
# Run by a child that stays in the parent namespace. `$1` is the process, the maps follow.
_MAP_BY_TOOLS = "read -r _ && newuidmap $1 $2; s=$?; newgidmap $1 $3 && exit $s"
_MAP_BY_ROOT = (
    'read -r _ && printf "%s" "$2" >/proc/$1/uid_map && printf "%s" "$3" >/proc/$1/gid_map'
)


class IdRange(NamedTuple):
    """`size` IDs of the namespace from `inside`, which are those from `outside` in its parent."""

    inside: int
    outside: int
    size: int


class IdMap(NamedTuple):
    """The user and group IDs that exist in a user namespace. Files cannot have others as owners."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]

    def has_uid(self, uid: int) -> bool:
        return _contains(self.uids, uid)

    def has_gid(self, gid: int) -> bool:
        return _contains(self.gids, gid)

    @property
    def only_root(self) -> bool:
        return all(sum(each.size for each in ranges) == 1 for ranges in self)

    def __str__(self) -> str:
        """As text, for comparing."""
        return ";".join(
            ",".join(f"{r.inside}:{r.outside}:{r.size}" for r in ranges)
            for ranges in (self.uids, self.gids)
        )


def current_ids() -> IdMap | None:
    """The IDs of this process's user namespace; None for the initial one, which has all."""
    if os.readlink("/proc/self/ns/user") == _INITIAL:
        return None
    return IdMap(_read_map("uid_map"), _read_map("gid_map"))


def is_privileged() -> bool:
    """Whether this process may mount (CAP_SYS_ADMIN)."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        held = next((int(line.split()[1], 16) for line in file if line.startswith("CapEff:")), 0)
    return bool(held >> _CAP_SYS_ADMIN & 1)


def enter() -> str:
    """Move this process into a new user namespace, as its root.

    Call it before any thread starts. Returns why only one ID is mapped, "" if there are ranges.
    Raises PermissionDenied or Unsupported, with the setting of the system that prevents it.
    """
    from lamina.system.process import pump, spawn

    uid, gid = os.geteuid(), os.getegid()
    # Programs that look up the home directory of a user would find that of root.
    os.environ.setdefault("HOME", os.path.expanduser("~"))
    command, missing = _mapping_command(uid, gid)
    problem = missing
    if command:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        errors, errors_end = os.pipe2(os.O_CLOEXEC)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            with spawn(command, stdin=reader, stdout=null, stderr=errors_end) as child:
                os.close(errors_end)
                errors_end = -1
                _unshare()
                os.write(writer, b"\n")
                complaints: list[bytes] = []
                pump({errors: complaints.append})
                if child.wait():
                    output = " ".join(b"".join(complaints).decode(errors="replace").split())
                    problem = f"the ranges cannot be mapped: {output or 'no reason was given'}"
        finally:
            for fd in (reader, writer, errors, errors_end, null):
                if fd >= 0:
                    os.close(fd)
    else:
        _unshare()
    mapped = _map_self(uid, gid)
    return problem if mapped else ""


def owner_ranges(path: str, name: str, number: int) -> list[tuple[int, int]]:
    """The (first, count) ranges of a user in /etc/subuid or /etc/subgid (subuid(5))."""
    found = []
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                owner, _, numbers = line.strip().partition(":")
                first, _, count = numbers.partition(":")
                if owner not in (name, str(number)) or not owner:
                    continue
                if first.isdecimal() and count.isdecimal() and int(count):
                    found.append((int(first), int(count)))
    except OSError:
        return []
    return found


def _mapping_command(uid: int, gid: int) -> tuple[list[str], str]:
    """The command that maps more than one ID; empty, with the reason, if that is impossible."""
    shell = ["sh", "-c"]
    if uid == 0:
        # Root of a container without CAP_SYS_ADMIN: all of its IDs keep their numbers.
        maps = (_spelled(_identity(_read_map(name))) for name in ("uid_map", "gid_map"))
        return [*shell, _MAP_BY_ROOT, "sh", str(os.getpid()), *maps], ""
    name = _user_name(uid)
    subordinate = [owner_ranges(path, name, uid) for path in _SUBORDINATE_IDS]
    if not all(subordinate):
        lacking = " and ".join(
            path for path, ranges in zip(_SUBORDINATE_IDS, subordinate, strict=True) if not ranges
        )
        return [], f"the user {name or uid} has no ranges in {lacking}"
    from lamina.system.process import which

    for tool in _TOOLS:
        if not which(tool):
            return [], f"{tool} is not installed (Debian and Ubuntu: uidmap)"
    maps = (
        _spelled(_stacked(own, ranges)) for own, ranges in zip((uid, gid), subordinate, strict=True)
    )
    return [*shell, _MAP_BY_TOOLS, "sh", str(os.getpid()), *maps], ""


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def _stacked(own: int, ranges: Sequence[tuple[int, int]]) -> Iterator[IdRange]:
    """The user's own ID as 0, and then one range after the other."""
    yield IdRange(0, own, 1)
    inside = 1
    for first, count in ranges:
        yield IdRange(inside, first, count)
        inside += count


def _identity(ranges: Sequence[IdRange]) -> Iterator[IdRange]:
    """The same numbers. Not all of them: crun (1.8.1) recognises the initial namespace by that."""
    for each in ranges:
        yield IdRange(each.inside, each.inside, min(each.size, _MOST_IDS))


def _spelled(ranges: Iterator[IdRange]) -> str:
    return "\n".join(f"{each.inside} {each.outside} {each.size}" for each in ranges)


def _map_self(uid: int, gid: int) -> bool:
    """Map only this user and group as root, where nothing is mapped yet. Returns whether it was
    necessary."""
    single = False
    for name, own in (("uid_map", uid), ("gid_map", gid)):
        if _read_map(name):
            continue
        single = True
        try:
            if name == "gid_map":
                _write("/proc/self/setgroups", "deny")
            _write(f"/proc/self/{name}", f"0 {own} 1")
        except OSError as error:
            if uid == 0:
                raise PermissionDenied(
                    f"cannot map the IDs of this container: {error.strerror}",
                    hint="give it the capabilities SETUID, SETGID and SETFCAP, or run lamina as"
                    " another user than root",
                ) from error
            _refuse(error)
    return single


def _unshare() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        _refuse(OSError(number, os.strerror(number)))


def _refuse(error: OSError) -> NoReturn:
    """Raise an error that names what prevents user namespaces."""
    reason = "cannot create a user namespace"
    if error.errno == errno.ENOSYS:
        raise Unsupported(f"{reason}: the kernel does not support it", hint="run lamina as root")
    if error.errno in (errno.EINVAL, errno.EUSERS):
        raise Unsupported(
            f"{reason}: {error.strerror}",
            hint="a process with threads, or nested too deeply, cannot create one",
        )
    why, hint = refusal(error)
    raise PermissionDenied(f"{reason}: {why}", hint=hint)


def refusal(error: OSError | LaminaError) -> tuple[str, str]:
    """Why the system refuses user namespaces or mounts in them, and what to do about it."""
    if _sysctl("kernel/unprivileged_userns_clone") == "0":
        return (
            "the kernel allows them to root only (kernel.unprivileged_userns_clone = 0)",
            "run `sysctl -w kernel.unprivileged_userns_clone=1` as root, or run lamina as root",
        )
    if _sysctl("user/max_user_namespaces") == "0" or getattr(error, "errno", 0) == errno.ENOSPC:
        return (
            "their number is limited (user.max_user_namespaces)",
            "run `sysctl -w user.max_user_namespaces=15000` as root, or run lamina as root",
        )
    if _sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor restricts them (kernel.apparmor_restrict_unprivileged_userns = 1)",
            "install an AppArmor profile that allows `userns` for lamina's Python, or run"
            " `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` as root",
        )
    if _is_filtered():
        return (
            "the seccomp filter of this container forbids it",
            "start the container with --security-opt seccomp=unconfined (Docker, Podman) or"
            " seccompProfile: Unconfined (Kubernetes)",
        )
    return (str(error), "run lamina as root")


def _is_filtered() -> bool:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return any(line.split() == ["Seccomp:", "2"] for line in file)


def _sysctl(name: str) -> str:
    with suppress(OSError), open(f"/proc/sys/{name}", encoding="ascii") as file:
        return file.read().strip()
    return ""


def _read_map(name: str) -> tuple[IdRange, ...]:
    with open(f"/proc/self/{name}", encoding="ascii") as file:
        return tuple(IdRange(*map(int, line.split())) for line in file)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _contains(ranges: tuple[IdRange, ...], number: int) -> bool:
    return any(each.inside <= number < each.inside + each.size for each in ranges)
