"""The platforms whose programs run here."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING

import pytest

from lamina.base.platform import Platform, host_platform
from lamina.runtime.emulation import platforms_here

if TYPE_CHECKING:
    from pathlib import Path

_V2 = "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3"
_V3 = f"{_V2} abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"


def test_the_host_platform_is_first_and_platforms_are_unique() -> None:
    found = platforms_here()
    assert found[0] == host_platform()
    assert len(set(found)) == len(found)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="levels are those of x86-64")
@pytest.mark.parametrize(
    ("flags", "levels"),
    [("fpu", []), (_V2, ["v2"]), (f"{_V3} avx512f", ["v2", "v3"]), (_V3[len(_V2) :], [])],
)
def test_a_level_needs_all_of_those_before(tmp_path: Path, flags: str, levels: list[str]) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
    found = platforms_here(str(cpuinfo))
    assert [one.variant for one in found if one.variant and one.architecture == "amd64"] == levels


@pytest.mark.skipif(platform.machine() != "x86_64", reason="runs i386 itself if any does")
def test_no_cpuinfo_is_no_level_and_leaves_no_file_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    found = platforms_here(str(tmp_path / "none"))
    assert found[0] == Platform("linux", "amd64")
    assert os.listdir("/proc/self/fd") == before
