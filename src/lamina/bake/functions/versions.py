"""Comparison of versions with constraints, as github.com/Masterminds/semver does it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.bake.functions.define import fixed, text
from lamina.bake.values.value import boolean
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMES = r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
_VERSION = re.compile(rf"v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?{_NAMES}")
_PATTERN = rf"v?([0-9]+|[xX*])(?:\.([0-9]+|[xX*]))?(?:\.([0-9]+|[xX*]))?{_NAMES}"
_CONSTRAINT = re.compile(rf"\s*(!=|>=|=>|<=|=<|~>|=|>|<|~|\^|)\s*{_PATTERN}\s*")
_RANGE = re.compile(r"\s*(\S+)\s+-\s+(\S+)\s*")


class _Version(NamedTuple):
    major: int
    minor: int
    patch: int
    pre: str

    def order(self) -> tuple[object, ...]:
        """The sort key of a version: a prerelease comes before its release."""
        words = tuple(
            (0, int(word), "") if word.isdecimal() else (1, 0, word)
            for word in self.pre.split(".")
            if self.pre
        )
        return (self.major, self.minor, self.patch, not self.pre, words)


class _Constraint(NamedTuple):
    """`given` numbers of the version are written; 0 to 3."""

    operator: str
    version: _Version
    given: int

    def accepts(self, version: _Version) -> bool:
        return _OPERATORS[self.operator](self, version)


def _equal(constraint: _Constraint, version: _Version) -> bool:
    if constraint.given < 3:
        return _tilde(constraint, version)
    return version.order() == constraint.version.order()


def _different(constraint: _Constraint, version: _Version) -> bool:
    if 0 < constraint.given < 3:
        return version[: constraint.given] != constraint.version[: constraint.given]
    if constraint.given == 0:
        return version.major != 0
    return version.order() != constraint.version.order()


def _greater(constraint: _Constraint, version: _Version) -> bool:
    given = constraint.given
    if given == 3:
        return version.order() > constraint.version.order()
    return version[: max(given, 1)] > constraint.version[: max(given, 1)]


def _less_or_equal(constraint: _Constraint, version: _Version) -> bool:
    given = constraint.given
    if given == 3:
        return version.order() <= constraint.version.order()
    return version[: max(given, 1)] <= constraint.version[: max(given, 1)]


def _tilde(constraint: _Constraint, version: _Version) -> bool:
    if version.order() < constraint.version.order():
        return False
    if constraint.given == 0:
        return True
    if constraint.given == 3 and constraint.version[:3] == (0, 0, 0):
        return True
    count = min(constraint.given, 2)
    return version[:count] == constraint.version[:count]


def _caret(constraint: _Constraint, version: _Version) -> bool:
    wanted = constraint.version
    if version.order() < wanted.order():
        return False
    if constraint.given == 0:
        return True
    if wanted.major > 0 or constraint.given == 1:
        return version.major == wanted.major
    if wanted.minor > 0 or constraint.given == 2:
        return version[:2] == wanted[:2]
    return version[:3] == wanted[:3]


def _less(constraint: _Constraint, version: _Version) -> bool:
    return version.order() < constraint.version.order()


def _greater_or_equal(constraint: _Constraint, version: _Version) -> bool:
    return version.order() >= constraint.version.order()


_OPERATORS: dict[str, Callable[[_Constraint, _Version], bool]] = {
    "": _equal,
    "=": _equal,
    "!=": _different,
    ">": _greater,
    "<": _less,
    ">=": _greater_or_equal,
    "=>": _greater_or_equal,
    "<=": _less_or_equal,
    "=<": _less_or_equal,
    "~": _tilde,
    "~>": _tilde,
    "^": _caret,
}


def satisfies(version: str, constraint: str) -> bool:
    """Whether a version satisfies a constraint such as `>=1.2, <2 || 3.x`. Raises ValueError."""
    match = _VERSION.fullmatch(version)
    if match is None:
        raise ValueError(f'"{version}" is no semantic version')
    given = _Version(int(match[1]), int(match[2] or 0), int(match[3] or 0), match[4] or "")
    alternatives = [_parsed(part) for part in _RANGE.sub(r">= \1, <= \2 ", constraint).split("||")]
    return any(
        all(each.accepts(given) for each in parts)
        and (not given.pre or any(each.version.pre for each in parts))
        for parts in alternatives
    )


def _parsed(text: str) -> list[_Constraint]:
    """Constraints after each other, with commas or without."""
    found: list[_Constraint] = []
    position = 0
    while position < len(text) or not found:
        match = _CONSTRAINT.match(text, position)
        if match is None:
            raise ValueError(f'"{text.strip()}" is no constraint on versions')
        numbers = [match[2], match[3], match[4]]
        count = next((i for i, n in enumerate(numbers) if n is None or not n.isdecimal()), 3)
        known = [int(number) for number in numbers[:count]] + [0] * (3 - count)
        major, minor, patch = known
        version = _Version(major, minor, patch, match[5] or "")
        found.append(_Constraint(match[1], version, count))
        position = match.end()
        if text[position : position + 1] == ",":
            position += 1
    return found


FUNCTIONS = {
    "semvercmp": fixed(
        lambda version, constraint: boolean(satisfies(version.text, constraint.text)),
        *(text("version"), text("constraint")),
    ),
}
