"""`lamina history timeline`."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

from lamina.cli.history.ls import show_duration
from lamina.cli.opening import open_history
from lamina.cli.progress.text import align, clip, encoded, plain, width
from lamina.records.naming import find_record, in_order
from lamina.records.steps import step_status, steps_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.cli.flags import Parsed
    from lamina.records.steps import Step

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_WAITING = "░"
_MARKS = {"done": "✓", "cached": "↯", "error": "✗", "canceled": "−", "running": "…", "not run": " "}
_LEAST, _MOST_NAME, _TIME = 40, 48, 8


def run(parsed: Parsed, names: list[str]) -> int:
    """Draw when the steps of a build ran."""
    with open_history(parsed) as history:
        record = history.record(find_record(history.rows(), names[0] if names else "").ref)
        steps = in_order(steps_of(history.log(record), lambda _: None))
    columns = shutil.get_terminal_size((100, 24)).columns
    lines = draw_timeline(steps, columns, time.time())
    sys.stdout.flush()
    sys.stdout.buffer.write(encoded("".join(f"{line}\n" for line in lines)))
    return 0


def draw_timeline(steps: Sequence[Step], columns: int, now: float) -> list[str]:
    """A line for each step that started: its mark, number and name, a bar, and its duration.

    A bar begins with the time that the step waited after its inputs were complete. The last line is
    the scale.

    Args:
        columns: the width of a line.
        now: the end of steps that run, in seconds since the epoch.
    """
    began = [(step, step.started) for step in steps if step.started is not None]
    if not began:
        return ["No step has started."]
    ends = {step.digest: now if step.completed is None else step.completed for step, _ in began}
    first = min(start for _, start in began)
    whole = max(max(ends.values()) - first, 1e-6)
    room = max(columns, _LEAST)
    name_room = min(_MOST_NAME, room // 2 - _TIME)
    cells = room - name_room - _TIME - 1
    lines = []
    for number, (step, start) in enumerate(began, 1):
        inputs = [ends[digest] for digest in step.inputs if digest in ends]
        ready = min(max(inputs), start) if inputs else start
        moments = (ready, start, ends[step.digest])
        bar = _bar([(moment - first) / whole * cells for moment in moments], cells)
        label = f"{_MARKS[step_status(step)]} {number:>2} {plain(step.name)}"
        shown = clip(label, name_room)
        seconds = "cached" if step.cached else show_duration(ends[step.digest] - start)
        left = shown + " " * (name_room - width(shown) + 1) + bar
        lines.append(align(left, seconds, room))
    end = show_duration(whole)
    lines.append(" " * (name_room + 1) + align("0s", end, cells))
    return lines


def _bar(moments: Sequence[float], cells: int) -> str:
    """A bar in eighths of a cell, the waiting time in whole cells.

    Args:
        moments: when the step was ready, began and ended, in cells.
    """
    ready, start, end = moments
    at = min(int(start), cells - 1)
    waiting = at - min(int(ready), at)
    eighths = max(1, round((min(end, cells) - at) * 8))
    full, part = divmod(eighths, 8)
    return " " * (at - waiting) + _WAITING * waiting + "█" * full + _EIGHTHS[part].strip()
