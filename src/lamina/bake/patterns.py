"""Patterns for names of targets, as Go's `path.Match` reads them."""

from __future__ import annotations

import re

from lamina.base.errors import InvalidInput


def matches(pattern: str, name: str) -> bool:
    """Raises InvalidInput for a malformed pattern."""
    return _compiled(pattern).fullmatch(name) is not None


def _compiled(pattern: str) -> re.Pattern[str]:
    found, index = [], 0
    while index < len(pattern):
        char = pattern[index]
        index += 1
        match char:
            case "*":
                found.append("[^/]*")
            case "?":
                found.append("[^/]")
            case "\\" if index < len(pattern):
                found.append(re.escape(pattern[index]))
                index += 1
            case "[":
                end = pattern.find("]", index + 1)
                if end < 0:
                    raise InvalidInput(f'malformed pattern "{pattern}"', hint="a bracket is open")
                inner = pattern[index:end]
                negated = inner.startswith("^")
                escaped = re.sub(r"([\\\[\]&~|^])", r"\\\1", inner.removeprefix("^"))
                found.append(f"[{'^' if negated else ''}{escaped}]")
                index = end + 1
            case _:
                found.append(re.escape(char))
    try:
        return re.compile("".join(found))
    except re.error:
        raise InvalidInput(f'malformed pattern "{pattern}"') from None
