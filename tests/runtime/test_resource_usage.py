"""Reading the files of control groups of both versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lamina.base.resources import ResourceUsage
from lamina.runtime import cgroups
from lamina.runtime.contract import Network, Sandbox
from lamina.runtime.resource_usage import ResourceMeter

if TYPE_CHECKING:
    from pathlib import Path

CPU_STAT = "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n"
IO_STAT = """\
8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0
259:1 rbytes=100 wbytes=0 rios=1 wios=0 dbytes=0 dios=0
7:0
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cgroups, "_ROOT", str(tmp_path))
    return tmp_path


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def used(network: Network = Network.HOST) -> ResourceUsage:
    return ResourceMeter("/lamina/x", Sandbox("/r", network=network)).usage()


def test_version_2(place: Path) -> None:
    write(place / "lamina/x", cpu__stat=CPU_STAT, memory__peak="77\n", io__stat=IO_STAT)
    assert used() == ResourceUsage(1_500_000, 77, 4196, 8192)


def test_version_2_without_controllers(place: Path) -> None:
    write(place / "lamina/x", cpu__stat=CPU_STAT)
    assert used() == ResourceUsage(1_500_000)


def test_no_device_was_used(place: Path) -> None:
    write(place / "lamina/x", cpu__stat=CPU_STAT, io__stat="")
    assert used() == ResourceUsage(1_500_000, None, 0, 0)


def test_version_1(place: Path) -> None:
    write(place / "cpuacct/lamina/x", cpuacct__usage="5\n")
    write(place / "memory/lamina/x", memory__max_usage_in_bytes="6\n")
    assert used() == ResourceUsage(5, 6)


def test_version_1_without_hierarchical_accounting(place: Path) -> None:
    write(place / "memory/lamina/x", memory__max_usage_in_bytes="0\n")
    assert used() == ResourceUsage()


def test_malformed_files(place: Path) -> None:
    write(place / "lamina/x", cpu__stat="x\n\xff", memory__peak="max\n", io__stat="8:0 rbytes=x")
    assert used() == ResourceUsage(bytes_read=0, bytes_written=0)


def test_nothing_is_known_without_groups(place: Path) -> None:
    assert used() == ResourceUsage()
    assert used(Network.NONE) == ResourceUsage(bytes_sent=0, bytes_received=0)
