"""Compares two recorded builds: their steps, times, inputs and outputs."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.records.build_inputs import inputs_of
from lamina.records.causes import FilesChanged
from lamina.records.content_changes import SHOWN, ContentChanges
from lamina.records.explanation import Explainer
from lamina.records.matching import is_local, operations
from lamina.records.naming import in_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lamina.api.history import BuildHistoryRecord
    from lamina.records.build_outputs import BuildOutput
    from lamina.records.causes import Cause
    from lamina.records.content_changes import PathChange
    from lamina.records.recorded_build import RecordedBuild, RecordedBuilds
    from lamina.records.steps import Step


class Change(Enum):
    """SAME: the definition and the inputs of a step are equal. Whether it ran does not matter."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    SAME = "same"


class StepChange(NamedTuple):
    """A step of one build, of the other, or of both. `causes` say what changed."""

    change: Change
    before: Step | None
    after: Step | None
    causes: tuple[Cause, ...] = ()


class InputChange(NamedTuple):
    """An input that differs. A value of None: the build did not have it."""

    name: str
    before: str | None
    after: str | None


class OutputChange(NamedTuple):
    """An output of one build, of the other, or of both; `change` is about the digests."""

    change: Change
    before: BuildOutput | None
    after: BuildOutput | None


class ComparedBuild(NamedTuple):
    """One of the two builds."""

    record: BuildHistoryRecord
    build: RecordedBuild
    outputs: tuple[BuildOutput, ...] = ()


class BuildDiff(NamedTuple):
    """The differences of two builds.

    `inputs` has the inputs that differ, `files` the changes in the files of the context that steps
    read. `steps` and `outputs` also contain equal ones.
    """

    before: ComparedBuild
    after: ComparedBuild
    steps: tuple[StepChange, ...]
    inputs: tuple[InputChange, ...]
    files: ContentChanges
    outputs: tuple[OutputChange, ...]

    @property
    def equal(self) -> bool:
        """Whether steps, inputs and outputs are equal. Times and cache hits are ignored."""
        return not (
            self.inputs
            or self.files.total
            or any(step.change is not Change.SAME for step in self.steps)
            or any(output.change is not Change.SAME for output in self.outputs)
        )


def compare_builds(
    before: ComparedBuild, after: ComparedBuild, source: RecordedBuilds
) -> BuildDiff:
    """Compare two builds that have ended. Raises the errors of `source`."""
    steps = tuple(_steps(before.build, after.build, source))
    return BuildDiff(
        before,
        after,
        steps,
        tuple(_inputs(before, after)),
        _files(steps),
        tuple(_outputs(before.outputs, after.outputs)),
    )


class _OneBuild:
    """Implements `lamina.records.explanation.BuildHistory` with one earlier build."""

    def __init__(self, build: RecordedBuild, source: RecordedBuilds) -> None:
        self._build = build
        self._source = source

    def earlier(self, index: int) -> RecordedBuild | None:
        return self._build if index == 0 else None

    def removed_at(self, key: str) -> float | None:
        return None

    def compare(self, before: str, after: str) -> ContentChanges | None:
        return self._source.compare(before, after)


def _steps(
    before: RecordedBuild, after: RecordedBuild, source: RecordedBuilds
) -> Iterator[StepChange]:
    explainer = Explainer(after, _OneBuild(before, source))
    counterparts = explainer.counterparts()
    for step in _compared(after):
        partner = counterparts.get(step.digest)
        if partner is None:
            yield StepChange(Change.ADDED, None, step)
        else:
            causes = explainer.differences(step)
            yield StepChange(Change.CHANGED if causes else Change.SAME, partner, step, causes)
    matched = {partner.digest for partner in counterparts.values()}
    for step in _compared(before):
        if step.digest not in matched:
            yield StepChange(Change.REMOVED, step, None)


def _compared(build: RecordedBuild) -> Sequence[Step]:
    return in_order([step for step in operations(build.steps) if not is_local(step)])


def _inputs(before: ComparedBuild, after: ComparedBuild) -> Iterator[InputChange]:
    old, new = (inputs_of(side.record, side.build) for side in (before, after))
    for name in {**old, **new}:
        if old.get(name) != new.get(name):
            yield InputChange(name, old.get(name), new.get(name))
    one, other = before.build.dockerfile, after.build.dockerfile
    if one and other and one != other:
        yield InputChange("text of the Dockerfile", one, other)


def _files(steps: Iterable[StepChange]) -> ContentChanges:
    """The files of the context that changed, for all steps together."""
    found: dict[PathChange, None] = {}
    hidden = 0
    for step in steps:
        for cause in step.causes:
            if isinstance(cause, FilesChanged) and cause.source is None and cause.changes:
                found.update(dict.fromkeys(cause.changes.first))
                hidden = max(hidden, cause.changes.total - len(cause.changes.first))
    return ContentChanges(tuple(found)[:SHOWN], len(found) + hidden)


def _outputs(before: Sequence[BuildOutput], after: Sequence[BuildOutput]) -> Iterator[OutputChange]:
    """Outputs are paired by kind and name, then by kind."""
    left = dict(enumerate(before))
    pairs: dict[int, BuildOutput] = {}
    for depth in (2, 1):
        for number, output in enumerate(after):
            if number not in pairs and (found := _same(left, output, depth)) is not None:
                pairs[number] = left.pop(found)
    for number, output in enumerate(after):
        partner = pairs.get(number)
        if partner is None:
            yield OutputChange(Change.ADDED, None, output)
        else:
            same = (partner.name, partner.digest) == (output.name, output.digest)
            yield OutputChange(Change.SAME if same else Change.CHANGED, partner, output)
    for output in left.values():
        yield OutputChange(Change.REMOVED, output, None)


def _same(outputs: Mapping[int, BuildOutput], wanted: BuildOutput, depth: int) -> int | None:
    """The first output whose leading `depth` fields are those of another one."""
    return next((n for n, output in outputs.items() if output[:depth] == wanted[:depth]), None)
