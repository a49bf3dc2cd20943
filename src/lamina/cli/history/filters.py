"""`--filter` of `lamina history ls`, with the syntax of `docker buildx history ls`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.cli.flags import suggestion
from lamina.records.filter import parse_history_filters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lamina.records.rows import RecordRow

    Condition = Callable[[RecordRow], bool]

_SIGNS = re.compile(r"([A-Za-z]*)(!=|<=|>=|=|<|>)(.*)", re.DOTALL)
_TEXTS = ("ref", "repository", "status")
_TIMES = ("startedAt", "completedAt", "duration")
_STATES = ("running", "completed", "error", "canceled")


def parse_filters(texts: Iterable[str]) -> list[Condition]:
    """Parse filters. A record must match all of them. Raises InvalidInput.

    `ref=` and `repository=` match a part, `status=` the whole word. `startedAt`, `completedAt` and
    `duration` are compared with `<`, `<=`, `>` or `>=`.
    """
    return [_condition(text) for text in texts]


def _condition(text: str) -> Condition:
    matched = _SIGNS.fullmatch(text)
    key, sign, value = matched.groups() if matched else (text, "", "")
    if key not in (*_TEXTS, *_TIMES):
        raise InvalidInput(
            f'invalid filter "{text}"{suggestion(key, (*_TEXTS, *_TIMES))}',
            hint="for example status=error, repository=myorg/app or startedAt>24h",
        )
    if key in _TIMES:
        if sign not in ("<", "<=", ">", ">="):
            raise InvalidInput(f'invalid filter "{text}": {key} needs <, <=, > or >=')
        condition = parse_history_filters([text])
        assert condition is not None
        return condition
    if sign not in ("=", "!="):
        raise InvalidInput(f'invalid filter "{text}": {key} needs = or !=')
    if key == "status" and value not in _STATES:
        raise InvalidInput(
            f'invalid filter "{text}"{suggestion(value, _STATES)}',
            hint=f"a status is {', '.join(_STATES)}",
        )
    if sign == "!=":
        return lambda row: _value(row, key) != value
    if key == "status":
        return lambda row: row.status == value
    return lambda row: value in _value(row, key)


def _value(row: RecordRow, key: str) -> str:
    return str(getattr(row, key))
