"""Booleans as Go's `strconv.ParseBool` reads them, which all of Docker's tools use."""

from __future__ import annotations

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


def parse_bool(text: str) -> bool | None:
    """None if the text is neither."""
    if text in _TRUE:
        return True
    return False if text in _FALSE else None
