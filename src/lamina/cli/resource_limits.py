"""Limits of the resources of steps: `--resource`, and `resources` of bake targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.cli.units import parse_size
from lamina.llb.op import LinuxResources

if TYPE_CHECKING:
    from lamina.bake.options.resources import Resources
    from lamina.cli.flags import Parsed

_SIZES = {"memory": "memory", "memory-swap": "memory_swap"}


def parse_resources(parsed: Parsed) -> LinuxResources | None:
    """The limits of `--resource`, and of Docker's flags of the same names.

    Raises InvalidInput.
    """
    from lamina.bake.options.resources import NAMES, Resources

    found = Resources()
    for name in NAMES:
        if parsed.given(name):
            found = found.with_limit(name, parsed.text(name))
    for text in parsed.all("resource"):
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(
                f'invalid argument "{text}" for --resource', hint="use the form memory=2g"
            )
        found = found.with_limit(name, value)
    return limits_of(found)


def limits_of(resources: Resources | None) -> LinuxResources | None:
    """The limits for a frontend; None if there are none. Raises InvalidInput."""
    if resources is None or not resources.limits:
        return None
    limits = dict(resources.limits)
    sizes = {
        field: -1 if limits[name] == "-1" else parse_size(limits[name], f"resource {name}")
        for name, field in _SIZES.items()
        if name in limits
    }
    return LinuxResources(
        memory=sizes.get("memory", 0),
        memory_swap=sizes.get("memory_swap", 0),
        cpu_shares=int(limits.get("cpu-shares", 0)),
        cpu_period=int(limits.get("cpu-period", 0)),
        cpu_quota=int(limits.get("cpu-quota", 0)),
        cpuset_cpus=limits.get("cpuset-cpus", ""),
        cpuset_mems=limits.get("cpuset-mems", ""),
    )
