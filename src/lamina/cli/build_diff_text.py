"""The comparison of two builds as text: `+` is added, `-` removed, `~` changed."""

from __future__ import annotations

import time
from difflib import unified_diff
from typing import TYPE_CHECKING

from lamina.cli.image_diff_text import printable
from lamina.cli.units import show_ago, show_size
from lamina.records.build_diff import Change
from lamina.records.causes import DependsOn, TextChanged
from lamina.records.matching import is_local, operations
from lamina.records.table import row_of
from lamina.records.wording import cause_text, diff_lines, path_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamina.records.build_diff import (
        BuildDiff,
        ComparedBuild,
        InputChange,
        OutputChange,
        StepChange,
    )
    from lamina.records.build_outputs import BuildOutput
    from lamina.records.causes import Cause
    from lamina.records.content_changes import ContentChanges
    from lamina.records.steps import Step

_SIGNS = {Change.ADDED: "+", Change.REMOVED: "-", Change.CHANGED: "~", Change.SAME: "="}
_STEPS = 25
_LINES = 6  # of the diff of one command
_NAME = 70
_VALUE = 60
_NOTABLE = 0.5  # seconds by which an unchanged step's times differ


def build_diff_lines(diff: BuildDiff, *, verbose: bool) -> Iterator[str]:
    """The lines of the comparison. Without `verbose`, unchanged steps are summarized and long lists
    are truncated."""
    yield _build("before", diff.before)
    yield _build("after ", diff.after)
    if diff.inputs or diff.files.total:
        yield from ("", "Inputs:")
        yield from map(_input, diff.inputs)
        yield from _files(diff.files)
    if diff.steps:
        yield from ("", "Steps:")
        yield from _steps(diff.steps, verbose)
    if diff.outputs:
        yield from ("", "Outputs:")
        yield from map(_output, diff.outputs)
    yield ""
    times = (_seconds(side) for side in (diff.before, diff.after))
    yield f"Total time: {_either(*(f'{seconds:.1f}s' for seconds in times))}"
    if diff.equal:
        yield "Steps, inputs and outputs are the same."


def _build(title: str, side: ComparedBuild) -> str:
    row = row_of(side.record)
    steps = [step for step in operations(side.build.steps) if not is_local(step)]
    ran, cached = sum(s.ran for s in steps), sum(s.cached for s in steps)
    ago = show_ago(time.time() - row.created)
    counts = f"{ran} step{'' if ran == 1 else 's'} ran, {cached} cached"
    parts = (row.ref, printable(row.name), row.status, ago, counts)
    return f"{title}  " + "  ".join(part for part in parts if part)


def _seconds(side: ComparedBuild) -> float:
    row = row_of(side.record)
    return row.completed - row.created


def _input(change: InputChange) -> str:
    name = printable(change.name)
    if change.before is None:
        return f"  + {name}: {_value(change.after)}"
    if change.after is None:
        return f"  - {name}: {_value(change.before)}"
    if "\n" in change.before + change.after:
        lines = list(
            unified_diff(change.before.splitlines(), change.after.splitlines(), n=0, lineterm="")
        )[2:]
        added, removed = (sum(line.startswith(sign) for line in lines) for sign in "+-")
        plural = "" if added == 1 else "s"
        return f"  ~ {name}: {added} line{plural} added, {removed} removed"
    return f"  ~ {name}: {_value(change.before)} → {_value(change.after)}"


def _value(text: str | None) -> str:
    return _short(text or "", _VALUE) or '""'


def _files(files: ContentChanges) -> Iterator[str]:
    signs = {"added": "+", "removed": "-"}
    for change in files.first:
        sign = signs.get(change.change, "~")
        yield f"  {sign} {printable(change.path if sign != '~' else path_text(change))}"
    if more := files.total - len(files.first):
        yield f"    and {more} more files"


def _steps(steps: Sequence[StepChange], verbose: bool) -> Iterator[str]:
    shown = [step for step in steps if verbose or _is_notable(step)]
    limit = len(shown) if verbose else _STEPS
    outcomes = [_either(_outcome(step.before), _outcome(step.after)) for step in shown[:limit]]
    width = max(map(len, outcomes), default=0)
    for step, outcome in zip(shown, outcomes, strict=False):
        yield from _step(step, f"{outcome:{width}}", verbose)
    if len(shown) > limit:
        yield f"    and {len(shown) - limit} more steps (--verbose shows them)"
    rest = [step for step in steps if not (verbose or _is_notable(step))]
    if rest:
        plural = "s" if len(rest) > 1 else ""
        times = (_sum(step.before for step in rest), _sum(step.after for step in rest))
        yield f"  = {len(rest)} step{plural} unchanged, {_either(*times)}"


def _is_notable(change: StepChange) -> bool:
    if change.change is not Change.SAME:
        return True
    assert change.before is not None
    assert change.after is not None
    return abs(_ran(change.before) - _ran(change.after)) >= _NOTABLE


def _step(change: StepChange, outcome: str, verbose: bool) -> Iterator[str]:
    step = change.after or change.before
    assert step is not None
    name = _short(step.name, _NAME)
    text = ", ".join(_cause(cause) for cause in change.causes)
    reason = f" — {printable(text)}" if text else ""
    yield f"  {_SIGNS[change.change]} {outcome}  {name}{reason}"
    for cause in change.causes:
        if isinstance(cause, TextChanged):
            lines = diff_lines(cause)
            limit = len(lines) if verbose else _LINES
            yield from (f"      {printable(line)}" for line in lines[:limit])
            if len(lines) > limit:
                yield f"      and {len(lines) - limit} more lines"


def _cause(cause: Cause) -> str:
    return (
        f"{cause_text(cause)}, which changed"
        if isinstance(cause, DependsOn)
        else (cause_text(cause))
    )


def _outcome(step: Step | None) -> str:
    if step is None:
        return ""
    if step.error:
        return "failed"
    if step.cached:
        return "cached"
    return f"{step.duration:.1f}s" if step.ran else "not run"


def _ran(step: Step | None) -> float:
    return step.duration if step is not None and step.ran else 0.0


def _sum(steps: Iterator[Step | None]) -> str:
    return f"{sum(map(_ran, steps)):.1f}s"


def _output(change: OutputChange) -> str:
    output = change.after or change.before
    assert output is not None
    pair = (change.before, change.after)
    parts = [f"  {_SIGNS[change.change]} {output.kind}"]
    for show in (_named, _digest, _size):
        parts.append(_either(*("" if each is None else show(each) for each in pair)))
    return "  ".join(part for part in parts if part)


def _named(output: BuildOutput) -> str:
    return printable(output.name)


def _digest(output: BuildOutput) -> str:
    algorithm, _, value = output.digest.partition(":")
    return f"{algorithm}:{value[:12]}" if value else ""


def _size(output: BuildOutput) -> str:
    return "" if output.size is None else show_size(output.size)


def _either(before: str, after: str) -> str:
    """Both values; equal ones are shown once."""
    if not (before and after) or before == after:
        return before or after
    return f"{before} → {after}"


def _short(text: str, most: int) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"
