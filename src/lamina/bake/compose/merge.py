"""Merges Compose files: https://docs.docker.com/reference/compose-file/merge/."""

from __future__ import annotations

from typing import Any

from lamina.bake.compose.yaml_file import Override, Reset
from lamina.base.errors import InvalidInput

_SEQUENCES = frozenset(
    ("args", "additional_contexts", "labels", "extra_hosts", "environment", "env_file")
)
"""Keys whose lists and mappings are both lists of `name=value`."""


def merged(before: Any, after: Any, path: tuple[str, ...] = ()) -> Any:
    """What `after` makes of `before`. Raises InvalidInput."""
    if isinstance(after, Override):
        return after.value
    if len(path) == 3 and path[0] == "services":
        if path[2] == "build":
            return _mappings(_build(before), _build(after), path)
        if path[2] in _SEQUENCES:
            return as_list(before) + as_list(after)
    if len(path) == 4 and path[2] == "build" and path[3] in _SEQUENCES:
        return as_list(before) + as_list(after)
    if after is None:
        return before
    match before, after:
        case dict(), dict():
            return _mappings(before, after, path)
        case list(), list():
            return before + after
        case ((dict() | list()), _):
            raise InvalidInput(f"{'.'.join(path)}: the files have different types")
    return after


def _mappings(before: dict[str, Any], after: dict[str, Any], path: tuple[str, ...]) -> Any:
    found = dict(before)
    for key, value in after.items():
        if isinstance(value, Reset):
            found.pop(key, None)
        elif key in found:
            found[key] = merged(found[key], value, (*path, key))
        else:
            found[key] = value.value if isinstance(value, Override) else value
    return found


def _build(value: Any) -> dict[str, Any]:
    return {"context": value} if isinstance(value, str) else value or {}


def as_list(value: Any) -> list[Any]:
    """`name=value` for each member of a mapping; a name alone for a null."""
    match value:
        case None:
            return []
        case dict():
            found = []
            for key, member in value.items():
                for each in member if isinstance(member, list) else [member]:
                    found.append(key if each is None else f"{key}={scalar_text(each)}")
            return sorted(found)
        case list():
            return value
    return [value]


def scalar_text(value: Any) -> str:
    """A scalar as Go formats it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)
