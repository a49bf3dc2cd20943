"""Matches the pieces of a glob with a set of positions, stored as the bits of an integer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.base.glob_matcher import ANYTHING, FOLDERS, NAME, REPETITIONS

if TYPE_CHECKING:
    from collections.abc import Sequence


class GlobAutomaton:
    """An automaton. Bit n of a set says that all pieces before piece n have matched.

    A repetition may match nothing, so a set with its bit also has the next one. But a repetition of
    directories that has begun continues to the next bit only at a slash (`_begun` is a separate
    set).
    """

    def __init__(self, pieces: Sequence[str], *, below: bool) -> None:
        self._below = below
        self._end = 1 << len(pieces)
        self._names = _bits(pieces, NAME)
        self._anything = _bits(pieces, ANYTHING)
        self._folders = _bits(pieces, FOLDERS)
        self._single = {
            re.compile(piece, re.DOTALL): _bits(pieces, piece)
            for piece in set(pieces) - REPETITIONS
        }
        self._taking: dict[str, int] = {}  # by character: the pieces that match it

    def matches(self, text: str) -> bool:
        at = self._closed(1)
        begun = at & self._folders
        for char in text:
            if char == "/" and self._below and at & self._end:
                return True
            stay = at & self._anything
            if char != "/":
                stay |= at & self._names
            arrived = (at & self._takers(char)) << 1
            if char == "/":
                arrived |= begun << 1
            at = self._closed(stay | arrived)
            begun |= at & self._folders
            if not at and not begun:
                return False
        return bool(at & self._end)

    def _closed(self, at: int) -> int:
        """The set with the pieces after repetitions that match nothing (more)."""
        repetitions = self._names | self._anything | self._folders
        while more := ((at & repetitions) << 1) & ~at:
            at |= more
        return at

    def _takers(self, char: str) -> int:
        known = self._taking.get(char)
        if known is None:
            known = sum(bits for piece, bits in self._single.items() if piece.match(char))
            self._taking[char] = known
        return known


def _bits(pieces: Sequence[str], wanted: str) -> int:
    return sum(1 << number for number, piece in enumerate(pieces) if piece == wanted)
