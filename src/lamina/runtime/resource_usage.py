"""The resource usage of a container, from its control group and its network namespace.

Version 2 of control groups always accounts CPU time, and memory and I/O if their controllers are
enabled (kernel documentation, `cgroup-v2.rst`). Version 1 loses the I/O of a group with the group
that the runtime removes, so it is not known there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.resources import ResourceUsage
from lamina.runtime.cgroups import read_group_file
from lamina.runtime.contract import Network
from lamina.system.network_traffic import network_traffic

if TYPE_CHECKING:
    from lamina.runtime.contract import Sandbox


class ResourceMeter:
    """Measures a container from the creation of the meter to `usage`.

    Args:
        cgroup: the group above the container's own, which stays when the container has ended.
    """

    def __init__(self, cgroup: str, sandbox: Sandbox) -> None:
        self._cgroup = cgroup
        self._network = sandbox.network
        self._namespace = "" if sandbox.network is not Network.DEFAULT else sandbox.namespace
        # A namespace is reused by later steps.
        self._before = network_traffic(self._namespace) if self._namespace else None

    def usage(self) -> ResourceUsage:
        """The usage so far. Values that cannot be read are None."""
        read, written = _io(self._cgroup)
        sent, received = self._traffic()
        return ResourceUsage(
            _cpu_time(self._cgroup), _peak_memory(self._cgroup), read, written, sent, received
        )

    def _traffic(self) -> tuple[int | None, int | None]:
        if self._network is Network.NONE:
            return 0, 0  # it has only a loopback device
        after = network_traffic(self._namespace) if self._before is not None else None
        if self._before is None or after is None:
            return None, None
        return after[0] - self._before[0], after[1] - self._before[1]


def _cpu_time(cgroup: str) -> int | None:
    text = read_group_file(cgroup, "cpu.stat")
    if text is not None:
        pairs = dict(line.partition(" ")[::2] for line in text.splitlines())
        micros = _number(pairs.get("usage_usec"))
        return None if micros is None else micros * 1000
    return _number(read_group_file(cgroup, "cpuacct.usage", "cpuacct"))


def _peak_memory(cgroup: str) -> int | None:
    text = read_group_file(cgroup, "memory.peak")
    if text is None:
        text = read_group_file(cgroup, "memory.max_usage_in_bytes", "memory")
    return _number(text)


def _io(cgroup: str) -> tuple[int | None, int | None]:
    """Bytes read and written, of all block devices."""
    text = read_group_file(cgroup, "io.stat")
    if text is None:
        return None, None
    fields = [field.partition("=")[::2] for field in text.split()]
    read, written = (
        sum(int(value) for key, value in fields if key == name and value.isdecimal())
        for name in ("rbytes", "wbytes")
    )
    return read, written


def _number(text: str | None) -> int | None:
    """None for 0, too: every process needs some, so a group with 0 does not account it."""
    return int(text) or None if text is not None and text.strip().isdecimal() else None
