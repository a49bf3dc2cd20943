"""Platforms: `os/arch[/variant]` of the OCI image index, normalised by containerd's rules."""

from __future__ import annotations

import os
import re

from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple

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
SYSTEMS = _KNOWN_OS | {"aix", "dragonfly", "illumos", "ios", "js", "plan9", "wasip1"}
"""The operating systems of images (Go's GOOS)."""
ARCHITECTURES = frozenset(
    (
        *("386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle"),
        *("ppc64", "ppc64le", "riscv64", "s390x", "sparc64", "wasm"),
    )
)
"""The architectures of images (Go's GOARCH)."""
_OS = re.compile(r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?")
_PART = re.compile(r"[A-Za-z0-9_.-]+")
_HINT = "a platform looks like linux/amd64 or linux/arm/v7"
_LONG_TERM = (20348, 26100)
"""Builds of the Windows Servers (2022, 2025) that run images of the previous one."""


class Platform(NamedTuple):
    """The platform of an image. Create one with `parse_platform`, which normalises."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    def __str__(self) -> str:
        """`os[(version[+feature…])]/arch[/variant]`."""
        options = "+".join(map(_encoded, (self.os_version, *self.os_features)))
        parts = [f"{self.os}({options})" if options else self.os, self.architecture]
        if self.variant:
            parts.append(self.variant)
        return "/".join(parts)

    def accepts(self, image: Platform) -> bool:
        """Whether an image made for `image` runs here: the same, or an older ARM variant."""
        mine, theirs = normalise(self), normalise(image)
        if (mine.os, mine.architecture) != (theirs.os, theirs.architecture):
            return False
        if mine.os == "windows" and not _runs_windows(mine.os_version, theirs.os_version):
            return False
        if not set(theirs.os_features) - {"win32k"} <= set(mine.os_features):
            return False
        if mine.variant == theirs.variant:
            return True
        if mine.architecture == "arm" and mine.variant and theirs.variant:
            return theirs.variant < mine.variant
        if mine.architecture in ("amd64", "arm64"):
            return not theirs.variant or theirs.variant < mine.variant
        return False


def normalise(platform: Platform) -> Platform:
    """Normalise the spelling: `x86_64` is `amd64`, `arm64/v8` is `arm64`, `arm` is v7."""
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
    """Parse `os[(version[+feature…])]/arch[/variant]`, or one part, with the rest of this machine.

    Raises InvalidInput.
    """
    first, *rest = text.strip().split("/")
    found = _OS.fullmatch(first)
    if found is None or len(rest) > 2:
        raise InvalidInput(
            f'"{first}" is an invalid OS component of "{text}"'
            if found is None
            else f'"{text}": cannot parse platform specifier',
            hint=_HINT,
        )
    for part in rest:
        if _PART.fullmatch(part) is None:
            raise InvalidInput(
                f'"{part}" is an invalid component of "{text}": platform specifier component must'
                f' match "^{_PART.pattern}$": invalid argument',
                hint=_HINT,
            )
    os_name, version, features = found.groups(default="")
    decoded = tuple(_decoded(text, feature) for feature in features.split("+")[1:])
    wanted = Platform(os_name, "", "", _decoded(text, version), decoded)
    if rest:
        architecture, variant = [*rest, ""][:2]
        return normalise(wanted._replace(architecture=architecture, variant=variant))
    only = os_name.lower()
    if only in _KNOWN_OS or only == "macos":
        here = host_platform()
        return normalise(wanted._replace(architecture=here.architecture, variant=here.variant))
    if first.lower() in _ARCH_ALIASES:
        return normalise(Platform(host_platform().os, only))
    raise InvalidInput(f'"{text}": unknown operating system or architecture', hint=_HINT)


def _encoded(option: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", lambda m: "".join(f"%{b:02X}" for b in m[0].encode()), option)


def _decoded(text: str, option: str) -> str:
    if "%" not in option:
        return option
    from urllib.parse import unquote

    if re.search(r"%(?![0-9A-Fa-f]{2})", option):
        raise InvalidInput(f'"{text}" has an invalid OS version or feature "{option}"', hint=_HINT)
    return unquote(option)


def _runs_windows(host: str, image: str) -> bool:
    """Whether a version of Windows runs images of another one.

    Images of the same build run, and since Windows Server 2022 also images of builds back to the
    previous long-term release. Unknown versions match all.
    """
    mine, theirs = _windows_build(host), _windows_build(image)
    if mine is None or not image:
        return True
    if theirs is None or mine[:2] != theirs[:2]:
        return False
    if mine[2] < _LONG_TERM[0]:
        return mine[2] == theirs[2]
    oldest = max((build for build in _LONG_TERM if build < mine[2]), default=_LONG_TERM[0])
    return oldest <= theirs[2] <= mine[2]


def _windows_build(version: str) -> tuple[int, int, int] | None:
    numbers = version.split(".")[:3]
    if len(numbers) < 3 or not all(n.isascii() and n.isdecimal() for n in numbers):
        return None
    major, minor, build = map(int, numbers)
    return (major, minor, build) if any((major, minor, build)) else None


def host_platform() -> Platform:
    """The platform that lamina runs on."""
    machine = os.uname()
    return normalise(Platform(machine.sysname.lower(), machine.machine))
