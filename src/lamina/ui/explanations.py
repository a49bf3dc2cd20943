"""Explanations, savings and comparisons of builds as documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.records.build_diff import ComparedBuild, compare_builds
from lamina.records.build_outputs import outputs_of
from lamina.records.causes import TextChanged
from lamina.records.comparing import EarlierBuilds
from lamina.records.explanation import Explainer, explained_steps
from lamina.records.recorded_build import build_of, keys_recorded
from lamina.records.savings import savings_of
from lamina.records.table import row_of, target_of
from lamina.records.wording import cause_text, diff_lines, own_causes, short_text
from lamina.ui.documents import (
    Cause,
    ChangedPath,
    ComparedSide,
    ComparedStep,
    Comparison,
    Explanations,
    InputPair,
    Output,
    OutputPair,
    SavedStep,
    Savings,
    StepExplanation,
    StepPair,
)
from lamina.ui.shown_text import shown_text

if TYPE_CHECKING:
    from lamina.api.history import BuildHistoryRecord
    from lamina.client.build_history import BuildHistory
    from lamina.records.build_diff import InputChange, OutputChange, StepChange
    from lamina.records.build_outputs import BuildOutput
    from lamina.records.causes import Cause as RecordedCause
    from lamina.records.causes import Explanation
    from lamina.records.recorded_build import RecordedBuild
    from lamina.records.steps import Step
    from lamina.ui.open_build import Progress


def explanations(
    history: BuildHistory, record: BuildHistoryRecord, progress: Progress
) -> Explanations:
    """Why the steps of a build missed the cache."""
    build = build_of(record, progress.steps, progress.dockerfile)
    explainer = _explainer(history, record, build)
    return Explanations(
        ref=record.ref,
        keysRecorded=keys_recorded(build),
        steps=[_explanation(explainer.explain(step)) for step in explained_steps(build)],
    )


def savings(history: BuildHistory, record: BuildHistoryRecord, progress: Progress) -> Savings:
    """What the cache saved in a build, and its costliest step."""
    build = build_of(record, progress.steps, progress.dockerfile)
    found = savings_of(build, _explainer(history, record, build))
    return Savings(
        seconds=found.seconds,
        steps=[SavedStep(step=step.digest, seconds=seconds) for step, seconds in found.steps],
        unknown=found.unknown,
        costliest="" if found.costliest is None else found.costliest.digest,
    )


def comparison(
    history: BuildHistory, before: BuildHistoryRecord, after: BuildHistoryRecord
) -> Comparison:
    """The differences of two builds that have ended. Raises NotFound, Corrupt."""
    old, new = (
        ComparedBuild(record, history.build(record), outputs_of(record, history.blob))
        for record in (before, after)
    )
    diff = compare_builds(old, new, history)
    return Comparison(
        equal=diff.equal,
        before=_side(before),
        after=_side(after),
        steps=[_step_pair(change) for change in diff.steps],
        inputs=[_input_pair(change) for change in diff.inputs],
        files=[
            ChangedPath(path=shown_text(change.path), change=change.change)
            for change in diff.files.first
        ],
        fileCount=diff.files.total,
        outputs=[_output_pair(change) for change in diff.outputs],
    )


def _explainer(
    history: BuildHistory, record: BuildHistoryRecord, build: RecordedBuild
) -> Explainer:
    return Explainer(build, EarlierBuilds(history, target_of(record), build.started))


def _explanation(explanation: Explanation) -> StepExplanation:
    digest = explanation.step.digest
    return StepExplanation(
        step=digest,
        text=shown_text(short_text(explanation)) or "is not cached",
        compared=explanation.compared,
        causes=[_cause(digest, cause) for cause in own_causes(explanation)],
        roots=[_cause(root.step.digest, root.cause) for root in explanation.roots],
    )


def _cause(step: str, cause: RecordedCause) -> Cause:
    kind = type(cause).__name__
    return Cause(
        step=step,
        kind=kind[0].lower() + kind[1:],
        text=shown_text(cause_text(cause)),
        diff=list(map(shown_text, diff_lines(cause))) if isinstance(cause, TextChanged) else [],
    )


def _side(record: BuildHistoryRecord) -> ComparedSide:
    row = row_of(record)
    return ComparedSide(
        ref=row.ref,
        name=shown_text(row.name),
        status=row.status,
        started=row.created,
        seconds=row.completed - row.created,
    )


def _step_pair(change: StepChange) -> StepPair:
    return StepPair(
        change=change.change.value,
        before=_compared_step(change.before),
        after=_compared_step(change.after),
        causes=[shown_text(cause_text(cause)) for cause in change.causes],
    )


def _compared_step(step: Step | None) -> ComparedStep | None:
    if step is None:
        return None
    return ComparedStep(
        digest=step.digest,
        name=shown_text(step.name),
        cached=step.cached,
        ran=step.ran,
        seconds=step.duration if step.ran else None,
        error=shown_text(step.error),
    )


def _input_pair(change: InputChange) -> InputPair:
    return InputPair(
        name=shown_text(change.name),
        before=None if change.before is None else shown_text(change.before),
        after=None if change.after is None else shown_text(change.after),
    )


def _output_pair(change: OutputChange) -> OutputPair:
    return OutputPair(
        change=change.change.value,
        before=_output(change.before),
        after=_output(change.after),
    )


def _output(output: BuildOutput | None) -> Output | None:
    if output is None:
        return None
    return Output(
        kind=output.kind, name=shown_text(output.name), digest=output.digest, size=output.size
    )
