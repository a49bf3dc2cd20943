"""Reads source policies from JSON files, in the format of `buildctl` and `docker buildx`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lamina.api.sourcepolicy import (
    AttrConstraint,
    AttrMatch,
    MatchType,
    Policy,
    PolicyAction,
    Rule,
    Selector,
    Update,
)
from lamina.base.errors import InvalidInput, from_os_error

if TYPE_CHECKING:
    from enum import IntEnum

_CONDITIONS = {"NOTEQUAL": "NOT_EQUAL"}


def read_policy(path: str) -> Policy:
    """Read a policy. Raises InvalidInput, NotFound, PermissionDenied."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise from_os_error(error, "read the source policy") from error
    try:
        document = json.loads(data)
        rules = tuple(_rule(entry) for entry in document.get("rules") or ())
        return Policy(int(document.get("version", 1)), rules)
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"{path} is not a source policy: {error}",
            hint='for example {"rules": [{"action": "DENY", "selector": {"identifier": "*"}}]}',
        ) from error


def _rule(entry: Any) -> Rule:
    selector, updates = entry.get("selector"), entry.get("updates")
    return Rule(
        _enum(PolicyAction, entry.get("action", "ALLOW")),
        None if selector is None else _selector(selector),
        None if updates is None else _update(updates),
    )


def _selector(entry: Any) -> Selector:
    return Selector(
        str(entry.get("identifier", "")),
        _enum(MatchType, entry.get("match_type", entry.get("matchType", "WILDCARD"))),
        tuple(
            AttrConstraint(
                str(found.get("key", "")),
                str(found.get("value", "")),
                _enum(AttrMatch, found.get("condition", "EQUAL")),
            )
            for found in entry.get("constraints") or ()
        ),
    )


def _update(entry: Any) -> Update:
    attrs = entry.get("attrs") or {}
    pairs = sorted((str(key), str(value)) for key, value in attrs.items())
    return Update(str(entry.get("identifier", "")), tuple(pairs))


def _enum(kind: type[IntEnum], value: Any) -> int:
    if isinstance(value, int):
        return kind(value)
    name = _CONDITIONS.get(str(value), str(value))
    if name not in kind.__members__:
        raise ValueError(f"{value} is not a {kind.__name__}")
    return kind[name]
