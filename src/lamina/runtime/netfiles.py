"""resolv.conf and hosts: mounted into steps, never part of a layer."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from lamina.runtime.contract import BindMount, Network

if TYPE_CHECKING:
    from lamina.runtime.contract import Dns, Sandbox

_RESOLV = "/etc/resolv.conf"
_LOCAL_SERVER = re.compile(r"nameserver\s+(127\.|::1\b)")
_FALLBACK = "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"


def write_network_files(folder: str, sandbox: Sandbox) -> tuple[BindMount, ...]:
    """Write the two files to `folder`. Returns their mounts."""
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


def _shares_network(sandbox: Sandbox) -> bool:
    return sandbox.network is not Network.NONE and not sandbox.namespace


def _resolv_conf(dns: Dns, *, shared: bool) -> str:
    """The host's file, changed by the configuration, and without servers on the loopback device
    unless the host's network is `shared`."""
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
        replaced.add("domain")  # another name of loopback
    kept = [line for line in lines if (line.split() or [""])[0] not in replaced]
    return "\n".join([*kept, *(line for own in wanted.values() for line in own)]) + "\n"


def _host_resolv_conf() -> str:
    try:
        with open(_RESOLV, encoding="utf-8", errors="replace") as file:
            text = file.read(1 << 16)
    except OSError:
        return _FALLBACK
    return text
