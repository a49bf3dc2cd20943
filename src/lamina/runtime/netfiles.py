"""resolv.conf, hosts and hostname: supplied to a step, never left in its layer."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from lamina.runtime.contract import BindMount, Network
from lamina.runtime.users import beneath

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamina.runtime.contract import Sandbox, TmpfsMount

_RESOLV = "/etc/resolv.conf"
_FALLBACK = "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


def write_network_files(folder: str, sandbox: Sandbox) -> tuple[BindMount, ...]:
    """Write the three files into `folder` and say where they go."""
    hostname = sandbox.hostname or "lamina"
    hosts = [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        *(f"{address}\t{name}" for name, address in sandbox.extra_hosts),
        f"127.0.1.1\t{hostname}",
    ]
    contents = (
        (_RESOLV, _resolv_conf(sandbox.network)),
        ("/etc/hosts", "\n".join(hosts) + "\n"),
        ("/etc/hostname", hostname + "\n"),
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
    """Something that a runtime will create in the rootfs as a place to mount on."""

    path: str
    parent: str
    parent_times: tuple[int, int]


def find_stubs(
    rootfs: str, mounts: Iterable[BindMount | TmpfsMount], fixed: Iterable[str]
) -> list[Stub]:
    """The mount points that are not in the rootfs yet, outermost first."""
    stubs: list[Stub] = []
    seen: set[str] = set()
    for target in (*(mount.target for mount in mounts), *fixed):
        parts = [part for part in target.split("/") if part not in ("", ".")]
        for depth in range(1, len(parts) + 1):
            path = beneath(rootfs, "/".join(parts[:depth]))
            if path in seen:
                continue
            seen.add(path)
            if os.path.lexists(path):
                continue
            parent = os.path.dirname(path)
            times = (0, 0)
            if os.path.isdir(parent):
                status = os.stat(parent)
                times = (status.st_atime_ns, status.st_mtime_ns)
            stubs.append(Stub(path, parent, times))
    return stubs


def remove_stubs(stubs: list[Stub]) -> None:
    """Take back what the runtime made, unless the step put something there."""
    for stub in reversed(stubs):
        try:
            status = os.lstat(stub.path)
            if stat.S_ISDIR(status.st_mode):
                os.rmdir(stub.path)
            elif stat.S_ISREG(status.st_mode) and status.st_size == 0:
                os.unlink(stub.path)
            else:
                continue
            if stub.parent_times != (0, 0):
                os.utime(stub.parent, ns=stub.parent_times)
        except OSError:
            continue


def _resolv_conf(network: Network) -> str:
    try:
        with open(_RESOLV, encoding="utf-8", errors="replace") as file:
            text = file.read(1 << 16)
    except OSError:
        return _FALLBACK
    return text
