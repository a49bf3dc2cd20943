"""Durations of steps from the records of builds, for `lamina advise`."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.advise.times import NoRecords
from lamina.base.errors import LaminaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lamina.advise.times import StepTimes
    from lamina.api.history import BuildHistoryRecord
    from lamina.cli.advise_files import Files
    from lamina.records.table import RecordTable

_MOST_BUILDS = 10
_MOST_RECORDS = 200


class RecordedTimes:
    """Durations in seconds, by the text of steps."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self._seconds = seconds

    def seconds(self, instruction: str) -> float | None:
        return self._seconds.get(instruction)


def recorded_times(root: str, files: Files) -> StepTimes:
    """The durations of the last builds of a Dockerfile in the store at `root`.

    Empty if the store is missing or unreadable.
    """
    if not files.path or not os.path.isfile(os.path.join(root, "meta.db")):
        return NoRecords()
    from lamina.records.steps import read_steps
    from lamina.records.table import RecordTable
    from lamina.stores.store import open_store

    seconds: dict[str, float] = {}
    try:
        with open_store(root) as store:
            for record in _records(RecordTable(store), files):
                with suppress(LaminaError):  # its log is damaged
                    for step in read_steps(store.blobs, record):
                        if step.ran and step.completed is not None and not step.error:
                            # `[build 2/5] RUN make`
                            seconds.setdefault(step.name.partition("] ")[2], step.duration)
    except LaminaError:
        return NoRecords()
    return RecordedTimes(seconds)


def _records(table: RecordTable, files: Files) -> Iterator[BuildHistoryRecord]:
    """The last builds of a Dockerfile, the newest first."""
    found = 0
    for row in table.rows()[:_MOST_RECORDS]:
        record = table.get(row.ref)
        if record is None or record.logs is None:
            continue
        if record.context_path == files.folder and record.dockerfile_path in ("", files.path):
            yield record
            found += 1
            if found == _MOST_BUILDS:
                return
