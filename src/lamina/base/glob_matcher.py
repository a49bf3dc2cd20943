"""Matches globs in a time that is linear in the text, as sequences of pieces.

A piece is a regular expression: one that matches a single character, or one of the repetitions
below. Python's `re` backtracks: with several repetitions its time is a power of the text's length.
So `re`, which is fast, is only used for globs in which that cannot happen, and for short texts. All
others are matched by following all possibilities at once (`lamina.base.glob_automaton`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAME = "[^/]*"
"""Any characters of a name, possibly none."""

ANYTHING = ".*"

FOLDERS = "(?:.*/)?"
"""Any number of complete directories."""

REPETITIONS = frozenset((NAME, ANYTHING, FOLDERS))

_BELOW = r"(?:/.*)?\Z"
_STEPS = 1_000_000  # of `re` for one text: some milliseconds


class GlobMatcher:
    """Tests whether a text matches.

    Args:
        below: also match a path below one that matches.
    """

    __slots__ = ("_automaton", "_below", "_longest", "_match", "_pieces")

    def __init__(self, pieces: Sequence[str], *, below: bool) -> None:
        self._pieces = _merged(pieces)
        self._below = below
        self._longest = _longest(self._pieces)
        self._match: Callable[[str], object] | None = None
        self._automaton: Callable[[str], bool] | None = None

    @property
    def is_linear(self) -> bool:
        """Whether `expression` takes linear time."""
        return self._longest is None

    @property
    def expression(self) -> str:
        """The regular expression; it has to match at the start of a text."""
        return _possessive(self._pieces) + (_BELOW if self._below else r"\Z")

    def __call__(self, text: str) -> bool:
        if self._longest is None or len(text) <= self._longest:
            if self._match is None:
                self._match = re.compile(self.expression, re.DOTALL).match
            return bool(self._match(text))
        if self._automaton is None:
            from lamina.base.glob_automaton import GlobAutomaton

            self._automaton = GlobAutomaton(self._pieces, below=self._below).matches
        return self._automaton(text)


def _merged(pieces: Sequence[str]) -> list[str]:
    """The pieces, with consecutive repetitions of the same kind merged."""
    return [
        piece
        for number, piece in enumerate(pieces)
        if piece not in REPETITIONS or not number or pieces[number - 1] != piece
    ]


def _longest(pieces: Sequence[str]) -> int | None:
    """The longest text for which `re` is used; None for any length.

    With FOLDERS at the beginning of a name, names are matched one by one, and a NAME within them
    can only divide its own: all but the last are possessive. Only pieces that may be a slash or
    more than one name undo that.
    """
    free = [number for number, piece in enumerate(pieces) if piece in REPETITIONS]
    if free and free[-1] == len(pieces) - 1 and pieces[-1] == ANYTHING:
        free.pop()  # it takes the rest at the first attempt
    if len(free) <= 1:
        return None
    wide = [number for number in free if pieces[number] != NAME]
    by_name = len(wide) <= 1 and all(not n or pieces[n - 1] == "/" for n in wide)
    if by_name and not any(_may_be_slash(piece) for piece in pieces):
        return None
    return int((_STEPS / len(pieces)) ** (1 / len(free)))


def _possessive(pieces: Sequence[str]) -> str:
    """Join the pieces. A NAME that is followed by another NAME of the same name is tried at one
    position only.

    The pieces between two of them may match at the first possible position, because the later one
    takes the rest.
    """
    out = ""
    at = 0
    while at < len(pieces):
        if pieces[at] != NAME:
            out += pieces[at]
            at += 1
            continue
        end = at + 1
        while end < len(pieces) and _is_one_of_a_name(pieces[end]):
            end += 1
        if end < len(pieces) and pieces[end] == NAME:
            out += "(?>[^/]*?" + "".join(pieces[at + 1 : end]) + ")"
        else:
            out += "".join(pieces[at:end])
        at = end
    return out


def _is_one_of_a_name(piece: str) -> bool:
    """Whether a piece matches exactly one character, and never a slash."""
    return piece not in REPETITIONS and piece != "/" and not _may_be_slash(piece)


def _may_be_slash(piece: str) -> bool:
    """Whether a class contains the slash."""
    return (
        piece[0] == "["
        and piece != "[^/]"
        and piece not in REPETITIONS
        and (re.compile(piece, re.DOTALL).match("/") is not None)
    )
