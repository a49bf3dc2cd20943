"""Platforms: `os/arch[/variant]` as in the OCI image index, normalised as containerd does."""

from __future__ import annotations

import os
from typing import NamedTuple

from lamina.base.errors import InvalidInput

_ARCH_ALIASES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "amd64": ("amd64", ""),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "386": ("386", ""),
    "aarch64": ("arm64", ""),
    "arm64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "arm": ("arm", "v7"),
    "ppc64le": ("ppc64le", ""),
    "riscv64": ("riscv64", ""),
    "s390x": ("s390x", ""),
    "loong64": ("loong64", ""),
    "loongarch64": ("loong64", ""),
    "mips64le": ("mips64le", ""),
    "wasm": ("wasm", ""),
}
_KNOWN_OS = frozenset(
    ("linux", "darwin", "windows", "freebsd", "netbsd", "openbsd", "solaris", "android", "wasi")
)


class Platform(NamedTuple):
    """What an image runs on. Build one with `parse_platform`, which normalises."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [self.os, self.architecture]
        if self.variant:
            parts.append(self.variant)
        return "/".join(parts)

    def accepts(self, image: Platform) -> bool:
        """Whether an image made for `image` runs here: the same, or an older ARM variant."""
        mine, theirs = normalise(self), normalise(image)
        if (mine.os, mine.architecture) != (theirs.os, theirs.architecture):
            return False
        if mine.variant == theirs.variant:
            return True
        if mine.architecture == "arm" and mine.variant and theirs.variant:
            return theirs.variant < mine.variant
        if mine.architecture in ("amd64", "arm64"):
            return not theirs.variant or theirs.variant < mine.variant
        return False


def normalise(platform: Platform) -> Platform:
    """Spell the parts canonically: `x86_64` is `amd64`, `arm64/v8` is `arm64`, `arm` is v7."""
    architecture, implied = _ARCH_ALIASES.get(
        platform.architecture.lower(), (platform.architecture.lower(), "")
    )
    variant = platform.variant.lower() or implied
    if architecture == "arm" and variant.isdigit():
        variant = "v" + variant
    if (architecture, variant) in (("arm64", "v8"), ("arm64", "8"), ("amd64", "v1")):
        variant = ""
    os_name = platform.os.lower()
    if os_name == "macos":
        os_name = "darwin"
    return platform._replace(os=os_name, architecture=architecture, variant=variant)


def parse_platform(text: str) -> Platform:
    """Read `os/arch[/variant]`, or one part alone, the rest being this machine's.

    Raises InvalidInput.
    """
    parts = text.strip().split("/")
    hint = "a platform looks like linux/amd64 or linux/arm/v7"
    if not all(parts) or len(parts) > 3:
        raise InvalidInput(f'"{text}" is not a platform', hint=hint)
    for part in parts:
        if not all(c.isalnum() or c in "_.-" for c in part):
            raise InvalidInput(f'"{text}" is not a platform', hint=hint)
    if len(parts) == 1:
        only = parts[0].lower()
        if only in _KNOWN_OS or only == "macos":
            return normalise(host_platform()._replace(os=only))
        if only in _ARCH_ALIASES:
            return normalise(Platform(host_platform().os, only))
        raise InvalidInput(f'"{text}": unknown operating system or architecture', hint=hint)
    os_name, architecture, variant = [*parts, ""][:3]
    return normalise(Platform(os_name, architecture, variant))


def host_platform() -> Platform:
    """The machine that lamina runs on."""
    machine = os.uname()
    return normalise(Platform(machine.sysname.lower(), machine.machine))
