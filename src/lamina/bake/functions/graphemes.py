"""User-perceived characters: grapheme clusters (Unicode Standard Annex 29).

The rules for combining marks, variation selectors, joiners, modifiers, flags and line ends are
here; those for Hangul syllables that are written in parts, and for Indic conjuncts, are not.
"""

from __future__ import annotations

import unicodedata

_JOINER = "\u200d"


def clusters(text: str) -> list[str]:
    """The characters of a text."""
    if text.isascii() and "\r" not in text:
        return list(text)
    found: list[str] = []
    for char in text:
        if found and _continues(found[-1], char):
            found[-1] += char
        else:
            found.append(char)
    return found


def _continues(cluster: str, char: str) -> bool:
    if char == "\n":
        return cluster == "\r"
    if cluster[-1] in "\r\n":
        return False
    if char == _JOINER or unicodedata.category(char) in ("Mn", "Me", "Mc"):
        return True
    if "\U0001f3fb" <= char <= "\U0001f3ff":
        return True
    if cluster[-1] == _JOINER:
        return unicodedata.category(char) == "So" and len(cluster) > 1
    return _is_flag(char) and _is_flag(cluster[-1]) and len(cluster) % 2 == 1


def _is_flag(char: str) -> bool:
    """Whether it is a regional indicator: two of them are a flag."""
    return "\U0001f1e6" <= char <= "\U0001f1ff"
