"""Lists of platforms in few words, as `docker buildx ls` shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamina.base.platform import Platform

_SHOWN = 4
"""Families of platforms in a table."""
_MAJOR = (
    "linux/amd64",
    "linux/arm64",
    "linux/arm",
    "linux/ppc64le",
    "linux/s390x",
    "linux/riscv64",
    "linux/mips64",
)


def marked_platforms(fixed: Iterable[Platform], supported: Iterable[Platform]) -> list[str]:
    """The platforms of a node. Those that it is fixed to come first, with a star."""
    names = {str(platform): f"{platform}*" for platform in fixed}
    for platform in supported:
        names.setdefault(str(platform), str(platform))
    return list(names.values())


def shortened(names: Sequence[str]) -> str:
    """Four families of platforms, with the number of others in each, and the number of the rest."""
    families: dict[str, list[str]] = {}
    for name in names:
        family = "/".join(name.rstrip("*").split("/")[:2])
        families.setdefault(family, []).append(name)
    major = [family for family in _MAJOR if family in families]
    chosen = [*major, *(family for family in families if family not in major)][:_SHOWN]
    ordered = [f for f in chosen if f in major] + sorted(f for f in chosen if f not in major)
    shown = [_family(family, families[family]) for family in ordered]
    left = len(names) - sum(len(families[family]) for family in ordered)
    return ", ".join([*shown, f"({left} more)"] if left else shown)


def _family(family: str, names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    star = "*" if any(name.endswith("*") for name in names) else ""
    return f"{family}{star} (+{len(names)})"
