from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from lamina.system.network_traffic import network_traffic, parse_devices

if TYPE_CHECKING:
    from pathlib import Path

DEVICES = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
    lo:  500       5    0    0    0     0          0         0      500       5    0    0
  eth0: 1000      10    0    0    0     0          0         0       70       7    0    0
  eth1:    1       1    0    0    0     0          0         0        2       1    0    0
"""


def test_the_sum_of_all_devices_but_loopback() -> None:
    assert parse_devices(DEVICES) == (72, 1001)


def test_a_namespace() -> None:
    """A namespace with two connected devices, which find each other by IPv6."""
    script = "ip link add a type veth peer name b; ip link set a up; ip link set b up; echo; cat"
    command = ["unshare", "--net", "sh", "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdin is not None
        child.stdout.readline()
        traffic = network_traffic(f"/proc/{child.pid}/ns/net")
        child.stdin.close()
    assert traffic is not None
    assert min(traffic) >= 0


def test_what_is_no_namespace(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert network_traffic(str(tmp_path / "file")) is None
    assert network_traffic(str(tmp_path / "missing")) is None
