"""The export of the spans of a daemon's builds, one after the other, in the background."""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.records.span_export import export_recorded, export_settings
from lamina.system.threads import WorkerPool

if TYPE_CHECKING:
    from types import TracebackType

    from lamina.daemon.log import Log
    from lamina.records.table import RecordTable
    from lamina.stores.blobs import BlobStore

_WAITING = 100


class SpanExports:
    """Exports what the daemon's environment asks for. Leaving the `with` block gives up what waits.

    If a collector is so slow that many builds wait for it, the spans of further ones are lost.
    """

    def __init__(self, blobs: BlobStore, records: RecordTable, log: Log) -> None:
        self._settings = export_settings(os.environ)
        self._blobs = blobs
        self._records = records
        self._log = log
        self._pool = WorkerPool(1, "spans")
        self._lock = threading.Lock()
        self._waiting = 0
        self._closed = False

    def export(self, ref: str, parent: str) -> None:
        """Export the spans of a build that has ended, soon. `parent` is its `traceparent`."""
        if self._settings is None:
            return
        with self._lock:
            if self._closed:
                return
            lost = self._waiting >= _WAITING
            if not lost:
                self._waiting += 1
                self._pool.submit(partial(self._export, ref, parent))
        if lost:
            self._log.warn(f"the spans of build {ref} were not exported: {_WAITING} builds wait")

    def _export(self, ref: str, parent: str) -> None:
        with self._lock:
            self._waiting -= 1
            closed = self._closed
        if closed or self._settings is None:
            return
        try:
            record = self._records.get(ref)
        except LaminaError as error:
            self._log.warn(f"the spans of build {ref} were not exported: {error}")
            return
        if record is None or record.completed_at is None:
            return  # it is not kept, or was deleted
        failure = export_recorded(self._settings, self._blobs, record, parent)
        if failure:
            self._log.warn(failure)

    def __enter__(self) -> SpanExports:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._closed = True
        self._pool.close()
