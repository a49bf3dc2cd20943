"""The patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*`, `?`, and `\\` before either.

Matching takes linear time for each piece, for any pattern: between two stars only the first match
of a piece has to be tried, so there is no backtracking.
"""

from __future__ import annotations

import re

from lamina.base.errors import InvalidInput
from lamina.dockerfile.expand import MAX_TEXT, too_long

_Piece = re.Pattern[str]


def strip_prefix(value: str, pattern: str, *, longest: bool) -> str:
    """`value` without the shortest (or longest) beginning that matches. Raises InvalidInput."""
    end = _match_at(_pieces(_tokens(pattern)), value, 0, longest=longest)
    return value if end is None else value[end:]


def strip_suffix(value: str, pattern: str, *, longest: bool) -> str:
    """`value` without the shortest (or longest) end that matches. Raises InvalidInput."""
    backwards = value[::-1]
    end = _match_at(_pieces(_tokens(pattern)[::-1]), backwards, 0, longest=longest)
    return value if end is None else backwards[end:][::-1]


def substitute(value: str, pattern: str, replacement: str, *, everywhere: bool) -> str:
    """`value` with its first match, or every match, replaced. Raises InvalidInput."""
    pieces = _pieces(_tokens(pattern))
    out: list[str] = []
    at = copied = replaced = 0
    while at <= len(value):
        # The first piece's first place is the leftmost match, if there is a match at all.
        first = pieces[0].search(value, at)
        if first is None:
            break
        end = _match_at(pieces, value, first.start(), longest=True)
        if end is None:
            break
        if end > first.start() or end > copied or not copied:
            out += [value[copied : first.start()], replacement]
            copied = end
            replaced += len(replacement)
            if replaced > MAX_TEXT:
                raise too_long("replacements", MAX_TEXT)
        if not everywhere:
            break
        # An empty match must not be found again at the same position.
        at = end if end > first.start() else end + 1
    return "".join((*out, value[copied:]))


def _match_at(pieces: list[_Piece], value: str, start: int, *, longest: bool) -> int | None:
    """The end of a match that begins at `start`, or None."""
    head = pieces[0].match(value, start)
    if head is None:
        return None
    at = head.end()
    for piece in pieces[1:-1]:
        found = piece.search(value, at)
        if found is None:
            return None
        at = found.end()
    if len(pieces) == 1:
        return at
    last = pieces[-1]
    if not longest:
        found = last.search(value, at)
        return None if found is None else found.end()
    for place in range(len(value), at - 1, -1):
        found = last.match(value, place)
        if found is not None:
            return found.end()
    return None


def _tokens(pattern: str) -> list[str]:
    """Regular expressions for single characters; "" stands for a star."""
    tokens: list[str] = []
    characters = iter(pattern)
    for char in characters:
        if char == "*":
            tokens.append("")
        elif char == "?":
            tokens.append(".")
        elif char == "\\":
            char = next(characters, "")
            if char not in ("*", "?", "\\", "/", "}") or not char:
                raise InvalidInput(
                    f"invalid pattern ({pattern}) in substitution: invalid escape '\\{char}'"
                )
            tokens.append(re.escape(char))
        else:
            tokens.append(re.escape(char))
    return tokens


def _pieces(tokens: list[str]) -> list[_Piece]:
    """The pieces between the stars, compiled."""
    pieces: list[list[str]] = [[]]
    for token in tokens:
        if token:
            pieces[-1].append(token)
        else:
            pieces.append([])
    return [re.compile("".join(piece), re.DOTALL) for piece in pieces]
