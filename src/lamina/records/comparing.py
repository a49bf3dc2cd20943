"""The earlier builds of a target, to compare a build with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import Corrupt, NotFound
from lamina.records.content_changes import compare_contents
from lamina.records.recorded_build import read_build
from lamina.records.steps import read_definition, read_log
from lamina.stores.contents import ContentTable
from lamina.stores.results import ResultTable

if TYPE_CHECKING:
    from lamina.api.history import BuildHistoryRecord
    from lamina.records.content_changes import ContentChanges
    from lamina.records.recorded_build import RecordedBuild, RecordedBuilds
    from lamina.records.table import RecordTable
    from lamina.stores.store import Store

_MOST = 20
_LOG_LIMIT = 1 << 30


class StoredBuilds:
    """Implements `RecordedBuilds` for a store."""

    def __init__(self, store: Store, table: RecordTable) -> None:
        self._blobs = store.blobs
        self._table = table
        self._results = ResultTable(store.database)
        self._contents = ContentTable(store.database)

    def latest(self, target: str, before: float) -> BuildHistoryRecord | None:
        return self._table.latest(target, before)

    def build(self, record: BuildHistoryRecord) -> RecordedBuild:
        return read_build(
            record,
            read_log(self._blobs, record),
            lambda digest: read_definition(self._blobs, digest),
        )

    def removed_at(self, key: str) -> float | None:
        return self._results.removed_at(key)

    def compare(self, before: str, after: str) -> ContentChanges | None:
        try:
            return compare_contents(self._contents, before, after)
        except Corrupt:
            return None


class EarlierBuilds:
    """Implements `lamina.records.explanation.BuildHistory`. Builds are read when needed.

    Args:
        target: as `lamina.records.table.target_of` says.
        before: only builds that started before this (seconds since the epoch).
        first: the build to compare with first, if not the latest one of the target.
        log_limit: builds with a larger log (bytes) are left out.
    """

    def __init__(
        self,
        source: RecordedBuilds,
        target: str,
        before: float,
        first: BuildHistoryRecord | None = None,
        *,
        log_limit: int = _LOG_LIMIT,
    ) -> None:
        self._source = source
        self._log_limit = log_limit
        self._target = target
        self._before = before
        self._builds: list[RecordedBuild] = []
        self._complete = False
        self._looked = 0
        if first is not None:
            self._add(first)
            created = first.created_at
            self._before = before if created is None else created.nanoseconds / 1e9

    def earlier(self, index: int) -> RecordedBuild | None:
        while len(self._builds) <= index and not self._complete:
            record = None
            if self._target and self._looked < _MOST:
                record = self._source.latest(self._target, self._before)
                self._looked += 1
            if record is None or record.created_at is None:
                self._complete = True
                break
            self._before = record.created_at.nanoseconds / 1e9
            self._add(record)
        return self._builds[index] if index < len(self._builds) else None

    def removed_at(self, key: str) -> float | None:
        return self._source.removed_at(key)

    def compare(self, before: str, after: str) -> ContentChanges | None:
        return self._source.compare(before, after)

    def _add(self, record: BuildHistoryRecord) -> None:
        if record.logs is not None and record.logs.size > self._log_limit:
            return
        try:
            self._builds.append(self._source.build(record))
        except (NotFound, Corrupt):
            return  # its log was lost
