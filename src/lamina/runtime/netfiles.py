"""resolv.conf and hosts: supplied to a step, never left in its layer."""

from __future__ import annotations

import os
import re
import stat
from bisect import bisect_left
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.runtime.contract import BindMount, Network
from lamina.runtime.users import beneath

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lamina.runtime.contract import Dns, Sandbox

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_RESOLV = "/etc/resolv.conf"
_GRAIN = 10_000_000
"""A folder's time may be a tick or two (ns) off that of the file just made in it."""
_LOCAL_SERVER = re.compile(r"nameserver\s+(127\.|::1\b)")
_FALLBACK = "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


def write_network_files(folder: str, sandbox: Sandbox) -> tuple[BindMount, ...]:
    """Write the two files into `folder` and say where they go."""
    hostname = sandbox.hostname or "buildkitsandbox"
    hosts = [
        f"127.0.0.1\tlocalhost {hostname}",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        *(f"{address}\t{name}" for name, address in sandbox.extra_hosts),
    ]
    contents = (
        (_RESOLV, _resolv_conf(sandbox.dns, shared=_shares_network(sandbox))),
        ("/etc/hosts", "\n".join(hosts) + "\n"),
    )
    mounts = []
    for target, text in contents:
        path = os.path.join(folder, os.path.basename(target))
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        os.chmod(path, 0o644)
        mounts.append(BindMount(path, target, readonly=True))
    return tuple(mounts)


class Stub(NamedTuple):
    """Something that a runtime will create in the rootfs as a place to mount on.

    `parts` lead to it from the root, through no link. `times` are its parent's before
    (access, modification, in ns), None if that is a stub too.
    """

    parts: tuple[str, ...]
    times: tuple[int, int] | None


def find_stubs(rootfs: str, targets: Iterable[str]) -> list[Stub]:
    """The mount points among `targets` that are not in the rootfs yet, outermost first."""
    stubs: list[Stub] = []
    seen: set[str] = set()
    for target in targets:
        for path in _missing(rootfs, [part for part in target.split("/") if part not in ("", ".")]):
            if path in seen:
                continue
            seen.add(path)
            times = None
            above = os.path.dirname(path)
            if above not in seen:
                with suppress(OSError):
                    status = os.stat(above, follow_symlinks=False)
                    times = (status.st_atime_ns, status.st_mtime_ns)
            stubs.append(Stub(tuple(os.path.relpath(path, rootfs).split("/")), times))
    return stubs


def _missing(rootfs: str, parts: list[str]) -> Iterator[str]:
    """The paths on the way along `parts` that are not there."""
    if ".." in parts:  # runtimes make what stands before it, too
        for depth in range(1, len(parts) + 1):
            path = beneath(rootfs, "/".join(parts[:depth]))
            if not os.path.lexists(path):
                yield path
        return

    def missing(depth: int) -> bool:
        return not os.path.lexists(beneath(rootfs, "/".join(parts[:depth])))

    # Below what is missing everything is. Asking at each depth would take a deep target hours.
    first = bisect_left(range(1, len(parts) + 1), True, key=missing) + 1
    path = beneath(rootfs, "/".join(parts[:first]))
    for depth in range(first, len(parts) + 1):
        yield path
        if depth < len(parts):
            path = f"{path}/{parts[depth]}"


def make_folders(rootfs: str, folders: Iterable[tuple[str, ...]]) -> None:
    """Make folders that a runtime would make in a mode of its own, outermost first."""
    for parts in folders:
        with suppress(OSError):  # it is there; or the root is read-only, and the runtime complains
            parent = _open_folder(rootfs, parts[:-1])
            try:
                os.mkdir(parts[-1], dir_fd=parent)
                os.chmod(parts[-1], 0o755, dir_fd=parent)
            finally:
                os.close(parent)


def above(stubs: Iterable[Stub]) -> list[tuple[str, ...]]:
    """The folders among stubs that others are in."""
    stubs = list(stubs)
    inner = {stub.parts[:-1] for stub in stubs}  # all missing folders on the way are stubs too
    return [stub.parts for stub in stubs if stub.parts in inner]


def remove_stubs(rootfs: str, stubs: list[Stub]) -> None:
    """Take back what the runtime made, unless the step put something there.

    The step may have put a link in place of a folder on the way, so none is followed.
    """
    for stub in reversed(stubs):
        with suppress(OSError):
            parent = _open_folder(rootfs, stub.parts[:-1])
            try:
                _remove_stub(parent, stub)
            finally:
                os.close(parent)


def _remove_stub(parent: int, stub: Stub) -> None:
    name = stub.parts[-1]
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    around = os.stat(parent)
    if stat.S_ISDIR(status.st_mode):
        os.rmdir(name, dir_fd=parent)
    elif stat.S_ISREG(status.st_mode) and status.st_size == 0:
        os.unlink(name, dir_fd=parent)
    else:
        return
    if stub.times is not None:
        # Back too: the step may have given its folders a time of old.
        changed_since = abs(around.st_mtime_ns - status.st_mtime_ns) > _GRAIN
        kept = (around.st_atime_ns, around.st_mtime_ns) if changed_since else stub.times
        os.utime(parent, ns=kept)


def _open_folder(rootfs: str, parts: tuple[str, ...]) -> int:
    fd = os.open(rootfs, _FOLDER)
    for part in parts:
        try:
            inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
    return fd


def _shares_network(sandbox: Sandbox) -> bool:
    return sandbox.network is not Network.NONE and not sandbox.namespace


def _resolv_conf(dns: Dns, *, shared: bool) -> str:
    """The host's own, but for what was configured, and for servers of its loopback device if its
    network is not `shared`."""
    lines = _host_resolv_conf().splitlines()
    if not shared:
        lines = [line for line in lines if not _LOCAL_SERVER.match(line)]
        if not any(line.startswith("nameserver") for line in lines):
            lines += _FALLBACK.splitlines()
    wanted = {
        "nameserver": [f"nameserver {address}" for address in dns.nameservers],
        "search": ["search " + " ".join(dns.search)] if dns.search else [],
        "options": ["options " + " ".join(dns.options)] if dns.options else [],
    }
    replaced = {name for name, own in wanted.items() if own}
    if "search" in replaced:
        replaced.add("domain")  # another name of it
    kept = [line for line in lines if (line.split() or [""])[0] not in replaced]
    return "\n".join([*kept, *(line for own in wanted.values() for line in own)]) + "\n"


def _host_resolv_conf() -> str:
    try:
        with open(_RESOLV, encoding="utf-8", errors="replace") as file:
            text = file.read(1 << 16)
    except OSError:
        return _FALLBACK
    return text
