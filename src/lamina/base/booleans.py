"""Parses booleans like Go's `strconv.ParseBool`, which Docker's tools use."""

from __future__ import annotations

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


def parse_bool(text: str) -> bool | None:
    """Parse a boolean. None if the text is not one."""
    if text in _TRUE:
        return True
    return False if text in _FALSE else None
