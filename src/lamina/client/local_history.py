"""The records of builds in a local store. Does not create an engine."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput, NotFound
from lamina.records.table import RUNNING, RecordTable
from lamina.stores.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lamina.api.history import BuildHistoryRecord
    from lamina.api.progress import StatusResponse
    from lamina.llb.op import Definition
    from lamina.records.table import RecordRow, StepCounts
    from lamina.stores.store import Store


@contextmanager
def open_local_history(root: str) -> Iterator[LocalHistory]:
    """Open the records of the store at `root`. Records of killed builds are completed first."""
    with open_store(root) as store:
        table = RecordTable(store)
        if table.has_abandoned():
            from lamina.records.recovery import recover

            recover(store, table)
        yield LocalHistory(store, table)


class LocalHistory:
    """Implements `lamina.client.build_history.BuildHistory`."""

    def __init__(self, store: Store, table: RecordTable) -> None:
        self._store = store
        self._table = table

    def rows(self) -> Sequence[RecordRow]:
        return self._table.rows()

    def counts(self) -> Mapping[str, StepCounts]:
        return self._table.counts()

    def contexts(self) -> Mapping[str, str]:
        return self._table.contexts()

    def record(self, ref: str) -> BuildHistoryRecord:
        record = self._table.get(ref)
        if record is None:
            raise NotFound(f"no record of a build {ref}")
        return record

    def log(self, record: BuildHistoryRecord, *, follow: bool = False) -> Iterator[StatusResponse]:
        from lamina.records.steps import read_frames, read_log

        if record.logs is not None:
            return read_log(self._store.blobs, record)
        journal = self._table.journal(record.ref)
        if not journal:
            raise NotFound(f"build {record.ref} has no log")
        return read_frames(self._store.path("records", journal))

    def blob(self, digest: str) -> bytes:
        from lamina.base.digest import parse_digest

        return self._store.blobs.read(parse_digest(digest))

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
