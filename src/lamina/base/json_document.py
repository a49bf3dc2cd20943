"""Reads untrusted JSON into values of the expected types.

The functions that read a member accept what Go's decoder does: a missing member and `null` are the
zero value.
"""

from __future__ import annotations

import json
import re
from typing import Any

from lamina.base.errors import Corrupt

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONE = re.compile("[\ud800-\udfff]")


def load_json(data: bytes, what: str) -> Any:
    """Parse bytes. As in Go, lone surrogates become U+FFFD. Raises Corrupt, naming `what`."""
    try:
        document = json.loads(data)
        return _without_lone_surrogates(document) if _SURROGATE.search(data) else document
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"malformed {what}: {error}") from error


def load_json_object(data: bytes, what: str) -> dict[str, Any]:
    """As `load_json`, of bytes that must be one object."""
    document = load_json(data, what)
    if not isinstance(document, dict):
        raise Corrupt(f"malformed {what}: not a JSON object")
    return document


def whole_number(value: object, lowest: int = 0, highest: int = (1 << 63) - 1) -> int:
    """Check that a value is an integer from `lowest` to `highest`. Raises ValueError."""
    if value is None:
        value = 0
    if type(value) is not int or not lowest <= value <= highest:
        raise ValueError(f"{_shown(value)} is not an integer from {lowest} to {highest}")
    return value


def text(value: object) -> str:
    """Check that a value is a string. Raises ValueError."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is not a string")
    return value


def items(value: object) -> list[Any]:
    """Check that a value is an array. Raises ValueError."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{_shown(value)} is not an array")
    return value


def members(value: object) -> dict[str, Any]:
    """Check that a value is an object. Raises ValueError."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{_shown(value)} is not an object")
    return value


def texts(value: object) -> tuple[str, ...]:
    """Check that a value is an array of strings. Raises ValueError."""
    return tuple(map(text, items(value)))


def text_pairs(value: object) -> tuple[tuple[str, str], ...]:
    """Check that a value is an object with only strings. Raises ValueError."""
    return tuple((key, text(member)) for key, member in members(value).items())


def _shown(value: object) -> str:
    shown = json.dumps(value, default=str)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"


def _without_lone_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _LONE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_lone_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {
            _LONE.sub("\ufffd", key): _without_lone_surrogates(item) for key, item in value.items()
        }
    return value
