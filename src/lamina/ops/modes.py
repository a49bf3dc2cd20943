"""Permission bits to be: octal, or chmod's symbolic form (POSIX `chmod`)."""

from __future__ import annotations

import re
import stat
from typing import NamedTuple

from lamina.base.errors import InvalidInput

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=][rwxXst]*|[-+=][ugo])+)\Z")
_ACTION = re.compile(r"([-+=])([rwxXst]*|[ugo])")
_SHIFT = {"u": 6, "g": 3, "o": 0}


class ModeChange(NamedTuple):
    """Either `octal` (≥ 0) or symbolic `text`."""

    octal: int
    text: str = ""

    def apply(self, mode: int) -> int:
        """The permission bits that a file of this `st_mode` gets."""
        if self.octal >= 0:
            return self.octal & 0o7777
        bits = stat.S_IMODE(mode)
        for clause in self.text.split(","):
            bits = _apply_clause(clause, bits, is_directory=stat.S_ISDIR(mode))
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


def _apply_clause(clause: str, bits: int, *, is_directory: bool) -> int:
    match = _CLAUSE.match(clause)
    if match is None:
        raise InvalidInput(f'invalid chmod "{clause}"')
    who = match[1].replace("a", "ugo") or "ugo"
    for operator, permissions in _ACTION.findall(match[2]):
        value = 0
        for letter in permissions:
            if letter in "ugo":
                value |= bits >> _SHIFT[letter] & 7
            elif letter in "rwx":
                value |= {"r": 4, "w": 2, "x": 1}[letter]
            elif letter == "X" and (is_directory or bits & 0o111):
                value |= 1
        mask = 0
        change = 0
        for letter in dict.fromkeys(who):
            mask |= 7 << _SHIFT[letter]
            change |= value << _SHIFT[letter]
        if "s" in permissions:
            change |= (0o4000 if "u" in who else 0) | (0o2000 if "g" in who else 0)
        if "t" in permissions:
            change |= 0o1000
        if operator == "+":
            bits |= change
        elif operator == "-":
            bits &= ~change
        else:
            special = (0o4000 if "u" in who else 0) | (0o2000 if "g" in who else 0)
            bits = bits & ~(mask | special) | change
    return bits
