"""`lamina history ls`."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from lamina.base.errors import NotFound
from lamina.cli.opening import open_history
from lamina.cli.tables import GAP, chosen_format, json_lines, print_text
from lamina.cli.units import show_ago, show_time
from lamina.records.rows import RUNNING, RecordRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lamina.cli.flags import Parsed
    from lamina.cli.history.filters import Condition
    from lamina.records.table import StepCounts

_NAME = 36
_FIELDS = ("Ref", "Name", "Status", "CreatedAt", "Duration")
_MINUTE = 60
_HOUR = 3600
_HEADER = ("BUILD ID", "NAME", "STATUS", "CREATED AT", "DURATION")


def run(parsed: Parsed, names: list[str]) -> int:
    """Print the matching records: running builds first, then the newest."""
    output = chosen_format(parsed, "table", "json")
    conditions: list[Condition] = []
    if parsed.given("filter"):
        from lamina.cli.history.filters import parse_filters

        conditions += parse_filters(parsed.all("filter"))
    with open_history(parsed) as history:
        if parsed.switch("local"):
            conditions.append(_of_this_repository(history.contexts()))
        rows = list(history.rows())
        for met in conditions:
            rows = [row for row in rows if met(row)]
        rows.sort(key=lambda row: row.status != RUNNING)
        if output != "table":
            counts = history.counts() if "json" in output else {}
            documents = (document(row, counts.get(row.ref)) for row in rows)
            if output != "json":
                print_text(_by_template(output, rows, documents, whole=parsed.switch("no-trunc")))
            elif rows:
                print(json_lines(documents))
            return 0
    print(show_rows(rows, time.time(), whole=parsed.switch("no-trunc")))
    return 0


def show_rows(rows: Sequence[RecordRow], now: float, *, whole: bool) -> str:
    """The table of buildx. `whole` names are not cut.

    Not by `table`, which takes twice the time: there may be 10,000 rows.
    """
    if not rows:
        return "".join(f"{title:{len(title) + GAP}}" for title in _HEADER).rstrip()
    refs, began, ended, statuses, _, names, _ = zip(*rows, strict=True)
    if not whole:
        names = tuple(n if len(n) <= _NAME else _shortened(n, _NAME) for n in names)
    titles = {status: status.capitalize() for status in set(statuses)}
    ages = _ages(began, now)
    durations = [
        f"{seconds:.1f}s" if (seconds := end - begin) < _MINUTE else show_duration(seconds)
        for begin, end in zip(began, ended, strict=True)
    ]
    if RUNNING in titles:
        for index, row in enumerate(rows):
            if row.status == RUNNING:
                durations[index] = _duration(row, now)
    columns = (refs, names, titles.values(), set(ages))
    widths = [
        max(map(len, (title, *column))) + GAP
        for title, column in zip(_HEADER[:-1], columns, strict=True)
    ]
    pattern = "".join(f"%-{each}s" for each in widths) + "%s"
    shown = zip(refs, names, map(titles.__getitem__, statuses), ages, durations, strict=True)
    return "\n".join([pattern % _HEADER, *map(pattern.__mod__, shown)])


def _by_template(
    template: str,
    rows: Sequence[RecordRow],
    documents: Iterable[Mapping[str, object]],
    *,
    whole: bool,
) -> str:
    from lamina.cli.format_template import Row, format_rows

    now = time.time()
    width = sys.maxsize if whole or not template.startswith("table") else _NAME
    shown = (
        Row(
            {
                "Ref": row.ref,
                "Name": _shortened(row.name, width),
                "Status": row.status.capitalize(),
                "CreatedAt": show_ago(now - row.created),
                "Duration": _duration(row, now),
            },
            document,
        )
        for row, document in zip(rows, documents, strict=True)
    )
    return format_rows(template, dict(zip(_FIELDS, _HEADER, strict=True)), shown)


def _shortened(name: str, width: int) -> str:
    return name if len(name) <= width else f"..{name[2 - width :]}"


def _duration(row: RecordRow, now: float) -> str:
    if row.status == RUNNING:
        return show_duration(max(0.0, now - row.created)) + "+"
    return show_duration(row.completed - row.created)


def _ages(began: Sequence[float], now: float) -> list[str]:
    """How long ago builds began. Consecutive builds of the same hour have the same text."""
    last: float | None = None
    text = ""
    ages = []
    for created in began:
        age = now - created
        unit = age // _HOUR if age >= _HOUR else age // 1 - _HOUR
        if unit != last:
            last, text = unit, show_ago(age)
        ages.append(text)
    return ages


def document(row: RecordRow, counts: StepCounts | None) -> dict[str, object]:
    """A record as buildx prints it, and its duration in seconds."""
    found: dict[str, object] = {
        "ref": row.ref,
        "name": row.name,
        "status": row.status.capitalize(),
        "created_at": show_time(row.created),
    }
    if row.status != RUNNING:
        found["completed_at"] = show_time(row.completed)
        found["duration"] = round(row.completed - row.created, 6)
    if row.repository:
        found["repository"] = row.repository
    if row.pinned:
        found["pinned"] = True
    if counts is not None:
        found["total_steps"] = counts.total
        found["completed_steps"] = counts.completed
        found["cached_steps"] = counts.cached
        found["warnings"] = counts.warnings
    return found


def show_duration(seconds: float) -> str:
    """`12.3s`; from a minute on `2m 5s`."""
    if seconds < _MINUTE:
        return f"{seconds:.1f}s"
    return f"{int(seconds // _MINUTE)}m {int(seconds % _MINUTE):2d}s"


def _of_this_repository(contexts: Mapping[str, str]) -> Condition:
    """Whether a record belongs to the git repository of the working directory.

    Its context is in the work tree, or its client recorded the same remote.
    """
    from lamina.base.git_url import is_git_url, parse_git_url
    from lamina.client.version_control import remote_of, top_of

    here = os.getcwd()
    top = top_of(here)
    if not top:
        raise NotFound(
            "--local: the current directory is not in a git repository",
            hint="use --filter repository=… instead",
        )
    remote = remote_of(here)
    same = {remote, parse_git_url(remote).remote if is_git_url(remote) else remote} - {""}
    return lambda row: row.repository in same or f"{contexts[row.ref]}/".startswith(f"{top}/")
