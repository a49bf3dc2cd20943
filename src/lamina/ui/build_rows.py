"""Builds as rows of the list."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lamina.records.rows import RUNNING
from lamina.records.table import row_of
from lamina.ui.documents import BuildRow, Builds, BuildStatus, Counts
from lamina.ui.shown_text import shown_text

if TYPE_CHECKING:
    from lamina.api.history import BuildHistoryRecord
    from lamina.client.build_history import BuildHistory


class BuildRows:
    """The rows of builds. Keeps those of builds that have ended. Thread-safe: it is only added to.

    A record of an ended build does not change, but for whether it is pinned.
    """

    def __init__(self) -> None:
        self._known: dict[str, BuildRow] = {}

    def list(self, history: BuildHistory, most: int) -> Builds:
        """The newest builds."""
        rows = history.rows()
        builds = []
        for row in rows[:most]:
            known = self._known.get(row.ref)
            if known is None:
                known = build_row(history.record(row.ref))
                if row.status != RUNNING:
                    self._known[row.ref] = known
            builds.append(known)
        return Builds(builds=builds, total=len(rows))


def build_row(record: BuildHistoryRecord) -> BuildRow:
    """The row of a build."""
    row = row_of(record)
    attributes = dict(record.frontend_attrs)
    ended = row.status != RUNNING
    names: dict[str, None] = {}
    for exporter in record.exporters:
        for name in dict(exporter.attrs).get("name", "").split(","):
            if name:
                names[name] = None
    return BuildRow(
        ref=row.ref,
        name=shown_text(row.name),
        status=cast("BuildStatus", row.status),
        started=row.created,
        completed=row.completed if ended else None,
        steps=Counts(
            total=record.num_total_steps,
            completed=record.num_completed_steps,
            cached=record.num_cached_steps,
        ),
        warnings=record.num_warnings,
        context=shown_text(record.context_path or attributes.get("context", "")),
        dockerfile=shown_text(
            record.dockerfile_path or attributes.get("filename", "") or "Dockerfile"
        ),
        target=shown_text(attributes.get("target", "")),
        platform=shown_text(attributes.get("platform", "")),
        repository=shown_text(row.repository),
        revision=shown_text(attributes.get("vcs:revision", "")),
        images=list(map(shown_text, names)),
        error="" if record.error is None else shown_text(record.error.message),
    )
