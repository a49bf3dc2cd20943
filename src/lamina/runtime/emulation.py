"""Platforms whose programs run here: natively, or in an emulator that the kernel knows
(binfmt_misc)."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from lamina.base.platform import Platform, host_platform

if TYPE_CHECKING:
    from collections.abc import Iterator

_CPUINFO = "/proc/cpuinfo"
_REGISTERED = "/proc/sys/fs/binfmt_misc"
_NATIVE = {"amd64": ("386",), "arm64": ("arm",)}
_QEMU = {
    "amd64": "x86_64",
    "386": "i386",
    "arm64": "aarch64",
    "loong64": "loongarch64",
    "mips64le": "mips64el",
}
_AMD64_LEVELS = (
    ("v2", "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3"),
    ("v3", "abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"),
    ("v4", "avx512bw avx512cd avx512dq avx512f avx512vl"),
)
"""The levels of x86-64's ABI, each with what /proc/cpuinfo must list for it and those before."""
_OTHERS = (
    ("amd64", ""),
    ("arm64", ""),
    ("riscv64", ""),
    ("ppc64le", ""),
    ("s390x", ""),
    ("386", ""),
    ("mips64le", ""),
    ("loong64", ""),
    ("arm", "v7"),
    ("arm", "v6"),
)
_EXIT_386 = bytes.fromhex("31c040 31db cd80")  # xor eax, eax; inc eax; xor ebx, ebx; int 0x80


def platforms_here(cpuinfo: str = _CPUINFO) -> tuple[Platform, ...]:
    """All platforms whose programs run on this machine, its own first."""
    here = host_platform()
    found = [here]
    if here.architecture == "amd64":
        found += [here._replace(variant=level) for level in _amd64_levels(cpuinfo)]
    for architecture, variant in _OTHERS:
        platform = Platform(here.os, architecture, variant)
        if architecture == here.architecture:
            continue
        if architecture == "386" and here.architecture == "amd64":
            if _runs_386():
                found.append(platform)
        elif runs_here(platform):
            found.append(platform)
    return tuple(found)


def _amd64_levels(cpuinfo: str) -> Iterator[str]:
    try:
        with open(cpuinfo, encoding="ascii", errors="replace") as file:
            flags = next((set(line.split()) for line in file if line.startswith("flags")), set())
    except OSError:
        return
    for level, needed in _AMD64_LEVELS:
        if not flags.issuperset(needed.split()):
            return
        yield level


def _runs_386() -> bool:
    """Whether the kernel runs a minimal program for i386: support is optional in the kernel."""
    base, head = 0x08048000, 52 + 32
    size = head + len(_EXIT_386)
    ident = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    header = struct.pack(
        "<16sHHIIIIIHHHHHH", ident, 2, 3, 1, base + head, 52, 0, 0, 52, 32, 1, 0, 0, 0
    )
    segment = struct.pack("<8I", 1, 0, base, base, size, size, 5, 4096)
    fd = os.memfd_create("exit", os.MFD_CLOEXEC)
    try:
        os.write(fd, header + segment + _EXIT_386)
        child = os.posix_spawn(f"/proc/self/fd/{fd}", ["exit"], {})
    except OSError:
        return False
    finally:
        os.close(fd)
    return os.waitpid(child, 0)[1] == 0


def runs_here(platform: Platform, registered: str = _REGISTERED) -> bool:
    """Whether programs for a platform run on this machine, natively or in an emulator."""
    here = host_platform()
    if here.accepts(platform) or platform.architecture in _NATIVE.get(here.architecture, ()):
        return True
    name = _QEMU.get(platform.architecture, platform.architecture)
    try:
        with open(os.path.join(registered, f"qemu-{name}"), encoding="ascii") as file:
            return file.readline().strip() == "enabled"
    except OSError:
        return False


def emulation_hint(platform: Platform) -> str:
    """A hint on how to run programs for a platform here."""
    return (
        f"this machine is {host_platform()} and cannot run programs for {platform}: register QEMU"
        " for them (Debian: apt install qemu-user-static), or cross-compile in a stage"
        " FROM --platform=$BUILDPLATFORM"
    )
