"""A recorded build for explanations: its request, its Dockerfile and its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lamina.base.named_tuple import NamedTuple
from lamina.records.matching import operations
from lamina.records.steps import StepFacts, collect_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lamina.api.history import BuildHistoryRecord
    from lamina.api.progress import StatusResponse
    from lamina.llb.op import Definition
    from lamina.records.content_changes import ContentChanges
    from lamina.records.steps import Step


class RecordedBuild(NamedTuple):
    """`started` is in seconds since the epoch, `attributes` are the frontend's, by name.

    `imports` says whether caches were imported. `dockerfile` is the text that the steps were made
    from, "" if it is not known.
    """

    ref: str
    started: float = 0.0
    attributes: tuple[tuple[str, str], ...] = ()
    imports: bool = False
    steps: tuple[Step, ...] = ()
    dockerfile: str = ""


class RecordedBuilds(Protocol):
    """Recorded builds, in a store or a daemon. Methods raise members of `lamina.base.errors`."""

    def latest(self, target: str, before: float) -> BuildHistoryRecord | None:
        """The newest ended build of a target (`lamina.records.table.target_of`) that started before
        `before` (seconds since the epoch)."""
        ...

    def build(self, record: BuildHistoryRecord) -> RecordedBuild:
        """The build of a record that has ended. Raises NotFound, Corrupt."""
        ...

    def removed_at(self, key: str) -> float | None:
        """The time when the result of a key was removed (seconds since the epoch), if it is
        known."""
        ...

    def compare(self, before: str, after: str) -> ContentChanges | None:
        """The differences between two contents, by the names of their manifests; None if one of
        them is not known."""
        ...


def read_build(
    record: BuildHistoryRecord,
    log: Iterable[StatusResponse],
    definition_of: Callable[[str], Definition | None],
) -> RecordedBuild:
    """The build of a record that has ended, with its progress log. Raises the errors of both."""
    facts = StepFacts()
    steps = collect_steps(log, facts, definition_of)
    return build_of(record, steps, facts.dockerfile)


def build_of(record: BuildHistoryRecord, steps: tuple[Step, ...], dockerfile: str) -> RecordedBuild:
    """A build from its record and the steps that are known so far."""
    created = record.created_at
    return RecordedBuild(
        record.ref,
        0.0 if created is None else created.nanoseconds / 1e9,
        record.frontend_attrs,
        bool(record.cache_imports),
        steps,
        dockerfile,
    )


def keys_recorded(build: RecordedBuild) -> bool:
    """Whether the builder recorded cache keys; a buildkitd does not. True for a build whose steps
    have none to record."""
    steps = operations(build.steps)
    return not steps or any(step.op is not None or step.lookup is not None for step in steps)
