"""Programs of other machines: whether the kernel has something to run them with (binfmt_misc)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lamina.base.platform import host_platform

if TYPE_CHECKING:
    from lamina.base.platform import Platform

_REGISTERED = "/proc/sys/fs/binfmt_misc"
_NATIVE = {"amd64": ("386",), "arm64": ("arm",)}
_QEMU = {
    "amd64": "x86_64",
    "386": "i386",
    "arm64": "aarch64",
    "loong64": "loongarch64",
    "mips64le": "mips64el",
}


def runs_here(platform: Platform, registered: str = _REGISTERED) -> bool:
    """Whether programs for a platform run on this machine, be it in an emulator."""
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
    """How to have programs for a platform run here."""
    return (
        f"this machine is {host_platform()} and cannot run programs for {platform}: register QEMU"
        " for them (Debian: apt install qemu-user-static), or cross-compile in a stage"
        " FROM --platform=$BUILDPLATFORM"
    )
