"""Parses permission bits: octal, or chmod's symbolic form with BSD's rules (`setmode(3)`).

BSD differs from POSIX: `X` looks at the original bits of the file; `u`, `g` and `o` can stand among
other letters and do not copy set-id bits; `t` without a preceding `u`, `g`, `o` or `a` only sets
the sticky bit.
"""

from __future__ import annotations

import re
import stat

from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXstugo]*)+)\Z")
_ACTION = re.compile(r"([-+=])([rwxXstugo]*)")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_WHO = {"u": 0o4700, "g": 0o2070, "o": 0o0007, "a": 0o6777}
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111, "X": 0o111, "s": 0o6000, "t": 0o1000}
_ALL = 0o7777
_STICKY = 0o1000


class ModeChange(NamedTuple):
    """Either `octal` (≥ 0) or symbolic `text`."""

    octal: int
    text: str = ""

    def apply(self, mode: int) -> int:
        """The permission bits that a file of this `st_mode` gets."""
        if self.octal >= 0:
            return self.octal & _ALL
        bits = stat.S_IMODE(mode)
        runs = stat.S_ISDIR(mode) or bool(bits & 0o111)
        for clause in self.text.split(","):
            match = _CLAUSE.match(clause)
            assert match is not None
            who = 0
            for letter in match[1]:
                who |= _WHO[letter]
            for operator, letters in _ACTION.findall(match[2]):
                bits = _act(operator, letters, who, bits, runs=runs)
        return bits


def parse_mode_change(octal: int, text: str) -> ModeChange | None:
    """None if nothing changes (`octal` -1 and no text). Raises InvalidInput."""
    if text:
        for clause in text.split(","):
            if not _CLAUSE.match(clause):
                raise InvalidInput(
                    f'invalid chmod "{text}"', hint="use octal (0755) or symbolic (u=rwX,go=rX)"
                )
        return ModeChange(-1, text)
    return None if octal < 0 else ModeChange(octal)


def _act(operator: str, letters: str, who: int, bits: int, *, runs: bool) -> int:
    """An operator and its letters. `who` 0 means all; `runs` is whether `X` applies."""
    given = conditional = 0
    emptied = operator != "="
    for letter in letters:
        if letter in _SHIFT:
            if given:
                bits = _change(operator, given, who, bits)
            bits = _copy(operator, letter, who, bits | conditional & (who or _ALL))
            given = conditional = 0
            emptied = True
        elif letter == "X" and operator != "-":
            conditional = _BITS["X"] if runs else 0
        elif letter not in "st" or who != _WHO["o"]:  # others have no set-id bits
            given |= _BITS[letter]
            who |= _STICKY if letter == "t" else 0
    if given or not emptied:
        bits = _change(operator, given, who, bits)
    return bits | conditional & (who or _ALL)


def _change(operator: str, given: int, who: int, bits: int) -> int:
    given &= who or _ALL
    if operator == "-":
        return bits & ~given
    if operator == "=":
        bits &= ~(who or _WHO["a"])
    return bits | given


def _copy(operator: str, source: str, who: int, bits: int) -> int:
    """Copy the bits of user, group or others to `who`."""
    value = bits >> _SHIFT[source] & 7
    for letter, shift in _SHIFT.items():
        if not who or who & _WHO[letter] & 0o777:
            if operator == "=":
                bits &= ~(7 << shift)
            bits = bits & ~(value << shift) if operator == "-" else bits | value << shift
    return bits
