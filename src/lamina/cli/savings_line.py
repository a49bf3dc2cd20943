"""The last line of a build on a terminal: what the cache saved, and which step cost most."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.cli.history.ls import show_duration
from lamina.cli.opening import open_history
from lamina.cli.progress.text import clip, encoded, plain
from lamina.cli.progress.tty import terminal_size
from lamina.records.comparing import EarlierBuilds
from lamina.records.explanation import Explainer
from lamina.records.savings import savings_of
from lamina.records.table import target_of

if TYPE_CHECKING:
    from lamina.cli.flags import Parsed
    from lamina.records.savings import Savings

_LOG_LIMIT = 1 << 20  # bytes of a build's log: a larger one takes too long to read
_SHORTEST = 0.05  # seconds that are worth a line


def show_savings(parsed: Parsed, ref: str) -> None:
    """Write the line for a build that has ended to standard error. Errors are ignored: the build
    has succeeded."""
    try:
        with open_history(parsed) as history:
            record = history.record(ref)
            if record.logs is None or record.logs.size > _LOG_LIMIT:
                return
            build = history.build(record)
            earlier = EarlierBuilds(history, target_of(record), build.started, log_limit=_LOG_LIMIT)
            line = savings_line(savings_of(build, Explainer(build, earlier)))
    except LaminaError:
        return
    if line:
        columns, _ = terminal_size(sys.stderr.fileno())
        sys.stderr.flush()
        sys.stderr.buffer.write(encoded(f"{clip(line, columns - 1)}\n"))
        sys.stderr.flush()


def savings_line(savings: Savings) -> str:
    """The line, "" if there is nothing to say."""
    parts = []
    if savings.seconds >= _SHORTEST:
        plural = "s" if len(savings.steps) > 1 else ""
        parts.append(
            f"the cache saved {show_duration(savings.seconds)} in {len(savings.steps)} step{plural}"
        )
    step = savings.costliest
    if step is not None and step.duration >= _SHORTEST:
        parts.append(f"{show_duration(step.duration)} for {plain(step.name)} cost most")
    line = "; ".join(parts)
    return line[:1].upper() + line[1:]
