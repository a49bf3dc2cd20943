"""Hints for misspelt words ("did you mean …?")."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def suggest(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelt word; "" if no known word is similar. Case does not matter."""
    spelled = {name.lower(): name for name in known if name}
    near = nearest(word.lower(), spelled)
    return f"did you mean {spelled[near]}?" if near else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """The known name that differs from a word by one or two edits; "" if none does.

    It finds the same words as BuildKit, so that messages are equal.
    """
    best, found = 3, ""
    for name in known:
        distance = _distance(word, name, best)
        if not distance:
            return ""
        if distance < best:
            best, found = distance, name
    return found


def _distance(a: str, b: str, limit: int) -> int:
    """The number of characters to insert, remove or change, at most `limit`."""
    if abs(len(a) - len(b)) >= limit:
        return limit
    row = list(range(len(b) + 1))
    for i, char in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (char != other))
    return min(row[-1], limit)
