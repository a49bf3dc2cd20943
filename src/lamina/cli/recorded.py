"""Finds the records that a command compares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.records.naming import find_record
from lamina.records.rows import RUNNING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.api.history import BuildHistoryRecord
    from lamina.client.build_history import BuildHistory
    from lamina.records.rows import RecordRow


def ended_record(
    history: BuildHistory, rows: Sequence[RecordRow], name: str, hint: str
) -> BuildHistoryRecord:
    """The record that a name means (`lamina.records.naming`).

    Args:
        hint: what to do if the build still runs.

    Raises NotFound, InvalidInput.
    """
    row = find_record(rows, name)
    if row.status == RUNNING:
        raise InvalidInput(f"build {row.ref} is still running", hint=hint)
    return history.record(row.ref)
