"""A recorded build as explanations compare it: its request, its Dockerfile and its steps."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.records.steps import StepFacts, collect_steps, read_definition, read_log

if TYPE_CHECKING:
    from lamina.api.history import BuildHistoryRecord
    from lamina.records.steps import Step
    from lamina.stores.blobs import BlobStore


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


def read_build(blobs: BlobStore, record: BuildHistoryRecord) -> RecordedBuild:
    """The build of a record that has ended. Raises NotFound, Corrupt."""
    facts = StepFacts()
    load = partial(read_definition, blobs)
    steps = collect_steps(read_log(blobs, record), facts, load)
    return build_of(record, steps, facts.dockerfile)


def build_of(record: BuildHistoryRecord, steps: tuple[Step, ...], dockerfile: str) -> RecordedBuild:
    """A build from its record and what is known of its steps so far."""
    created = record.created_at
    return RecordedBuild(
        record.ref,
        0.0 if created is None else created.nanoseconds / 1e9,
        record.frontend_attrs,
        bool(record.cache_imports),
        steps,
        dockerfile,
    )
