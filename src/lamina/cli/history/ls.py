"""`lamina history ls`."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound
from lamina.cli.opening import open_history
from lamina.cli.tables import json_lines, table
from lamina.cli.units import show_ago, show_time
from lamina.records.table import RUNNING, RecordRow, StepCounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lamina.cli.flags import Parsed
    from lamina.cli.history.filters import Condition

_NAME = 36
_HEADER = ("BUILD ID", "NAME", "STATUS", "CREATED AT", "DURATION")


def run(parsed: Parsed, names: list[str]) -> int:
    """Print the matching records: running builds first, then the newest."""
    output = parsed.text("format", "table")
    if output not in ("table", "json"):
        raise InvalidInput(f'unknown format "{output}"', hint="use table or json")
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
        if output == "json":
            if rows:
                counts = history.counts()
                print(json_lines(document(row, counts.get(row.ref)) for row in rows))
            return 0
    print(show_rows(rows, time.time(), whole=parsed.switch("no-trunc")))
    return 0


def show_rows(rows: list[RecordRow], now: float, *, whole: bool) -> str:
    """Print the table of buildx. With `whole`, names are not truncated."""
    return table(_HEADER, _cells(rows, now, _NAME if not whole else sys.maxsize))


def _cells(rows: list[RecordRow], now: float, width: int) -> Iterator[tuple[str, ...]]:
    for ref, created, completed, status, _, name, _ in rows:
        if len(name) > width:
            name = f"..{name[2 - width :]}"
        running = status == RUNNING
        duration = show_duration(max(0.0, now - created) if running else completed - created)
        yield (
            ref,
            name,
            status.capitalize(),
            show_ago(now - created),
            duration + "+" if running else duration,
        )


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
    if seconds < 60:
        return f"{seconds:.1f}s"
    return f"{int(seconds // 60)}m {int(seconds % 60):2d}s"


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
