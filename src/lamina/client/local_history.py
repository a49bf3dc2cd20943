"""The records of builds in a local store. Does not create an engine."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import IO, TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound
from lamina.records.rows import RUNNING, has_abandoned, read_rows
from lamina.stores.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lamina.api.history import BuildHistoryRecord
    from lamina.api.progress import StatusResponse
    from lamina.llb.op import Definition
    from lamina.records.comparing import StoredBuilds
    from lamina.records.content_changes import ContentChanges
    from lamina.records.recorded_build import RecordedBuild
    from lamina.records.rows import RecordRow
    from lamina.records.table import RecordTable, References, StepCounts
    from lamina.stores.contents import ContentEntry
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation

_BLOB_LIMIT = 256 << 20


@contextmanager
def open_local_history(root: str) -> Iterator[LocalHistory]:
    """Open the records of the store at `root`. Records of killed builds are completed first."""
    with open_store(root) as store:
        history = LocalHistory(store)
        history.recover()
        yield history


class LocalHistory:
    """Implements `lamina.client.build_history.BuildHistory`. Lists rows without the rest of it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @cached_property
    def _table(self) -> RecordTable:
        from lamina.records.table import RecordTable

        return RecordTable(self._store)

    def recover(self) -> None:
        """Complete the records of killed builds."""
        if has_abandoned(self._store.database):
            from lamina.records.recovery import recover

            recover(self._store, self._table)

    def rows(self) -> Sequence[RecordRow]:
        return read_rows(self._store.database)

    def counts(self) -> Mapping[str, StepCounts]:
        return self._table.counts()

    def contexts(self) -> Mapping[str, str]:
        return self._table.contexts()

    def record(self, ref: str) -> BuildHistoryRecord:
        record = self._table.get(ref)
        if record is None:
            raise NotFound(f"no record of a build {ref}")
        return record

    def log(
        self, record: BuildHistoryRecord, *, follow: Cancellation | None = None
    ) -> Iterator[StatusResponse]:
        from lamina.records.steps import follow_frames, read_frames, read_log

        if record.logs is not None:
            return read_log(self._store.blobs, record)
        journal = self._table.journal(record.ref)
        if not journal:
            raise NotFound(f"build {record.ref} has no log")
        path = self._store.path("records", journal)
        if follow is None:
            return read_frames(path)

        def has_ended() -> bool:
            self.recover()  # the build may have been killed meanwhile
            return not self._table.journal(record.ref)

        return follow_frames(path, has_ended, follow)

    def blob(self, digest: str) -> bytes:
        from lamina.base.digest import parse_digest

        return self._store.blobs.read(parse_digest(digest), _BLOB_LIMIT)

    def definition(self, digest: str) -> Definition | None:
        from lamina.records.steps import read_definition

        return read_definition(self._store.blobs, digest)

    def delete(self, refs: Sequence[str]) -> None:
        for ref in refs:
            row = self._table.row(ref)
            if row is not None and row.status == RUNNING:
                raise InvalidInput(
                    f"build {ref} is running: its record cannot be removed",
                    hint="wait for the build to end, or stop it",
                )
            self._table.delete(ref)

    def latest(self, target: str, before: float) -> BuildHistoryRecord | None:
        return self._builds.latest(target, before)

    def build(self, record: BuildHistoryRecord) -> RecordedBuild:
        return self._builds.build(record)

    def removed_at(self, key: str) -> float | None:
        return self._builds.removed_at(key)

    def compare(self, before: str, after: str) -> ContentChanges | None:
        return self._builds.compare(before, after)

    def references(self, record: BuildHistoryRecord) -> References:
        from lamina.records.table import References
        from lamina.stores.contents import ContentTable

        contents = ContentTable(self._store.database)
        names = filter(contents.has, self._table.contents(record.ref))
        return References(frozenset(self._table.blobs(record.ref)), frozenset(names))

    def content_entries(self, content: str) -> Iterable[ContentEntry]:
        from lamina.stores.contents import ContentTable

        return ContentTable(self._store.database).entries(content)

    def import_bundle(self, source: IO[bytes]) -> Sequence[str]:
        from lamina.records.bundle import import_bundle

        return import_bundle(self._store, self._table, source)

    @cached_property
    def _builds(self) -> StoredBuilds:
        from lamina.records.comparing import StoredBuilds

        return StoredBuilds(self._store, self._table)
