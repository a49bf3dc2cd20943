"""Limits of the resources of steps: `resources` of a target."""

from __future__ import annotations

import re

from lamina.bake.values.convert import convert
from lamina.bake.values.number import shown
from lamina.bake.values.value import NUMBER, STRING, Value, null, object_of, object_value, string
from lamina.bake.values.value import whole as number_value
from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple

_NUMBERS = ("cpu-shares", "cpu-period", "cpu-quota")
NAMES = ("memory", "memory-swap", *_NUMBERS, "cpuset-cpus", "cpuset-mems")
_TYPES = {name: NUMBER if name in _NUMBERS else STRING for name in NAMES}
_TYPE = object_of(_TYPES, NAMES)
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")


class Resources(NamedTuple):
    """Limits by their names, in the order of `NAMES`; numbers are decimal."""

    limits: tuple[tuple[str, str], ...] = ()

    @property
    def document(self) -> dict[str, object]:
        return {name: int(v) if name in _NUMBERS else v for name, v in self.limits}

    def merged(self, other: Resources) -> Resources:
        both = {**dict(self.limits), **dict(other.limits)}
        return Resources(tuple((name, both[name]) for name in NAMES if name in both))

    def with_limit(self, name: str, value: str) -> Resources:
        """Raises InvalidInput."""
        if name not in NAMES:
            raise InvalidInput(f'there is no resource "{name}"', hint=f"one of {', '.join(NAMES)}")
        if name in _NUMBERS:
            if _WHOLE.fullmatch(value) is None:
                raise InvalidInput(f'resources.{name} is "{value}", which is no whole number')
            value = str(int(value))
        return self.merged(Resources(((name, value),)))


def resources_of(value: Value) -> Resources:
    """Raises InvalidInput, ConversionError."""
    found = Resources()
    for name, member in convert(value, _TYPE).members.items():
        if not member.is_null:
            written = shown(member.number) if name in _NUMBERS else member.text
            found = found.with_limit(name, written)
    return found


def resources_value(resources: Resources | None) -> Value:
    if resources is None:
        return null(object_of(_TYPES))
    limits = dict(resources.limits)
    return object_value(
        {
            name: null(kind)
            if name not in limits
            else number_value(int(limits[name]))
            if kind == NUMBER
            else string(limits[name])
            for name, kind in _TYPES.items()
        }
    )
