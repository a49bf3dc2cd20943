"""Filters of build history (BuildKit's `ListenBuildHistory`).

One filter is a CSV line of conditions that must all hold: `ref`, `status` and `repository` in
containerd's filter language, and `startedAt`, `completedAt`, `duration` compared with `>`,
`>=`, `<` or `<=` to a duration (how long ago) or an RFC 3339 time. Of several filters one must
match.
"""

from __future__ import annotations

import csv
import operator
import re
import time
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.filters import parse_filters
from lamina.base.units import seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lamina.records.rows import RecordRow

    Condition = Callable[["RecordRow"], bool]

_TIMED = re.compile(r"(startedAt|completedAt|duration)(>=|<=|>|<)(.*)", re.DOTALL)
_COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def parse_history_filters(texts: Iterable[str]) -> Condition | None:
    """Parse filters; None if there are none. Raises InvalidInput."""
    alternatives = [_one(text) for text in texts]
    if not alternatives:
        return None
    return lambda row: any(all(c(row) for c in conditions) for conditions in alternatives)


def _one(text: str) -> list[Condition]:
    try:
        fields = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise InvalidInput(f"history filter {text!r}: {error}") from None
    conditions: list[Condition] = []
    plain = []
    for field in fields:
        timed = _TIMED.fullmatch(field)
        if timed is None:
            plain.append(field)
        else:
            conditions.append(_timed(*timed.groups()))
    selectors = parse_filters([",".join(plain)])

    def matches(row: RecordRow) -> bool:
        values = {"ref": row.ref, "status": row.status, "repository": row.repository}
        return selectors.matches(lambda path: values.get(path[0]) or None)

    return [*conditions, matches]


def _timed(name: str, sign: str, value: str) -> Condition:
    compare = _COMPARE[sign]
    if name == "duration":
        limit = _seconds(value)
        if limit is None:
            raise InvalidInput(f"history filter: invalid duration {value}")
        return lambda row: compare(row.completed - row.created, limit)
    ago = _seconds(value)
    moment = _rfc3339(value) if ago is None else int(time.time() - ago)
    if name == "startedAt":
        return lambda row: compare(int(row.created), moment)
    return lambda row: compare(int(row.completed), moment)


def _seconds(text: str) -> float | None:
    try:
        return seconds_of(text)
    except ValueError:
        return None


def _rfc3339(text: str) -> int:
    import datetime

    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
        return int(moment.timestamp())
    except (ValueError, OverflowError):
        raise InvalidInput(f"history filter: invalid time {text}") from None
