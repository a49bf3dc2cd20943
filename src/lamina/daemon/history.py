"""Build history: running builds, past builds and their results.

`History.begin` opens a build's record, which collects its progress; `finish` stores it. A request
for a build's progress by its ref gets all of it, whether the build still runs or has ended.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from lamina.api.history import BuildHistoryEventType as Kind
from lamina.api.history import BuildHistoryRecord
from lamina.base.digest import parse_digest
from lamina.base.errors import AlreadyExists, Exhausted, LaminaError, NotFound
from lamina.base.named_tuple import NamedTuple
from lamina.records.progress_log import replay
from lamina.records.recorder import BuildRecorder
from lamina.records.recovery import recover
from lamina.records.table import RecordTable
from lamina.records.trace import trace_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lamina.daemon.log import Log
    from lamina.records.retention import Retention
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation

_APPEARS = 6.0  # seconds that a request for progress waits for its build
_BACKLOG = 10_000


class HistoryEvent(NamedTuple):
    """A change of a record. For a deleted record, only the ref is set."""

    kind: Kind
    record: BuildHistoryRecord


class History:
    """All builds of a daemon. Thread-safe.

    Args:
        removed: called when a record was removed, because its blobs may now be unused.
    """

    def __init__(
        self, store: Store, retention: Retention, log: Log, removed: Callable[[], None]
    ) -> None:
        self.records = RecordTable(store)
        self._store = store
        self._retention = retention
        self._log = log
        self._removed = removed
        self._changed = threading.Condition()
        self._running: dict[str, BuildRecorder] = {}
        self._listeners: list[deque[HistoryEvent]] = []
        recover(store, self.records)
        for ref in self.records.drop_orphans():
            log.warn(f"deleting build record {ref} due to missing blobs")
        self._expire()

    def begin(self, record: BuildHistoryRecord, *, kept: bool = True) -> BuildRecorder:
        """Begin a build's record. Raises AlreadyExists if a build with this ref is running.

        Args:
            kept: whether the record is kept in the history; clients' internal builds are not.
        """
        with self._changed:
            if record.ref in self._running:
                raise AlreadyExists(f"a build {record.ref} is already running")
            running = BuildRecorder(
                self._store,
                self.records,
                record,
                kept=kept,
                ended=self._ended,
                failed=partial(self._failed, record.ref),
                trace=trace_of,
            )
            self._running[record.ref] = running
            if kept:
                self._notify(HistoryEvent(Kind.STARTED, running.record))
            self._changed.notify_all()
        return running

    def status(self, ref: str, cancel: Cancellation) -> Iterator[bytes]:
        """A build's progress, as encoded `StatusResponse`s. Waits briefly for the build to begin.

        Raises NotFound, Cancelled.
        """
        deadline = time.monotonic() + _APPEARS
        with cancel.calling(self._wake), self._changed:
            while True:
                running = self._running.get(ref)
                if running is not None:
                    progress = running.progress.read(cancel)
                    break
                record = self.records.get(ref)
                left = deadline - time.monotonic()
                if record is not None or left <= 0:
                    progress = self._replay(ref, record)
                    break
                self._changed.wait(left)
                cancel.check()
        yield from progress

    def running(self) -> list[BuildHistoryRecord]:
        """The records of running builds that will be kept."""
        with self._changed:
            return [item.record for item in self._running.values() if item.kept]

    def listen(
        self, ref: str, replay: Callable[[], None], cancel: Cancellation, ending: Cancellation
    ) -> Iterator[HistoryEvent]:
        """The current builds, then events of their ends and of later builds, until `cancel`.

        If the daemon is `ending`, until no build is running.

        Args:
            ref: only events of this build, "" for all.
            replay: called after the running builds, when no later event can be missed.
        """
        events: deque[HistoryEvent] = deque()
        with self._changed:
            self._listeners.append(events)
            active = self.running()
        try:
            for record in active:
                if ref in ("", record.ref):
                    yield HistoryEvent(Kind.STARTED, record)
            replay()
            with cancel.calling(self._wake), ending.calling(self._wake):
                while (event := self._next(events, cancel, ending)) is not None:
                    if ref in ("", event.record.ref):
                        yield event
        finally:
            with self._changed:
                self._listeners.remove(events)

    def pin(self, ref: str, pinned: bool) -> None:
        """Set whether a record is kept regardless of its age. Raises NotFound."""
        with self._changed:
            record = self.records.pin(ref, pinned)
            if record is None:
                raise NotFound(f"no build {ref} in the history")
            self._notify(HistoryEvent(Kind.COMPLETE, record))

    def imported(self, refs: Iterable[str]) -> None:
        """Tell of records that were added from a bundle, and remove those that are too many."""
        with self._changed:
            for ref in refs:
                record = self.records.get(ref)
                if record is not None:
                    self._notify(HistoryEvent(Kind.COMPLETE, record))
        self._expire()

    def delete(self, ref: str) -> None:
        """Delete a record, if it exists."""
        with self._changed:
            gone = self.records.delete(ref)
            self._notify(HistoryEvent(Kind.DELETED, BuildHistoryRecord(ref)))
        if gone:
            self._removed()

    def _ended(self, running: BuildRecorder, result: BuildHistoryRecord | None) -> None:
        with self._changed:
            self._running.pop(running.record.ref, None)
            if result is not None:
                self._notify(HistoryEvent(Kind.COMPLETE, result))
            elif running.kept:
                gone = BuildHistoryRecord(running.record.ref)
                self._notify(HistoryEvent(Kind.DELETED, gone))
            self._changed.notify_all()
        if result is not None:
            self._expire()

    def _failed(self, ref: str, error: LaminaError) -> None:
        self._log.error(f"build {ref} was not recorded in the history: {error}")

    def _replay(self, ref: str, record: BuildHistoryRecord | None) -> Iterator[bytes]:
        if record is None:
            raise NotFound(f"no such job {ref}")
        if record.logs is None:
            return iter(())
        path = self._store.blobs.path(parse_digest(record.logs.digest))
        if not os.path.exists(path):
            raise NotFound(f"the log of build {ref} no longer exists")
        return replay(path)

    def _next(
        self, events: deque[HistoryEvent], cancel: Cancellation, ending: Cancellation
    ) -> HistoryEvent | None:
        with self._changed:
            while not events and not cancel.cancelled:
                if ending.cancelled and not self._running:
                    return None
                self._changed.wait()
            if cancel.cancelled:
                return None
            if len(events) > _BACKLOG:
                raise Exhausted("too slow for the events of build history")
            return events.popleft()

    def _notify(self, event: HistoryEvent) -> None:
        for events in self._listeners:
            if len(events) <= _BACKLOG:
                events.append(event)
        self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _expire(self) -> None:
        try:
            refs = self.records.expire(self._retention)
        except LaminaError as error:
            self._log.error(f"history: {error}")
            return
        if refs:
            with self._changed:
                for ref in refs:
                    self._notify(HistoryEvent(Kind.DELETED, BuildHistoryRecord(ref)))
            self._removed()
