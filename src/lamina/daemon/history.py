"""Build history: what runs, what ran, and what came of it.

`History.begin` opens a build's record, which collects its progress; `finish` keeps it. Whoever
asks for a build's progress by its ref gets all of it, whether it runs or ended long ago.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from lamina.api.descriptor import Descriptor
from lamina.api.failures import to_status
from lamina.api.history import BuildHistoryEventType as Kind
from lamina.api.history import BuildHistoryRecord, BuildResultInfo, IndexedDescriptor
from lamina.api.status import SCHEMA as STATUS_SCHEMA
from lamina.api.status import status_of
from lamina.api.timestamp import at_seconds
from lamina.base.digest import parse_digest
from lamina.base.errors import (
    AlreadyExists,
    Exhausted,
    Internal,
    LaminaError,
    NotFound,
    from_os_error,
)
from lamina.base.named_tuple import NamedTuple
from lamina.daemon.history_store import HistoryStore
from lamina.daemon.status import MEDIA_TYPE, ProgressLog, replay
from lamina.daemon.trace import MEDIA_TYPE as TRACE_MEDIA_TYPE
from lamina.daemon.trace import BuildSpan, trace_of
from lamina.wire.contract import StatusError
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from lamina.base.events import EventSink
    from lamina.daemon.config import HistoryConfig
    from lamina.daemon.log import Log
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation

ERROR_MEDIA_TYPE = "application/vnd.googeapis.google.rpc.status+proto"  # as clients know it
_APPEARS = 6.0  # seconds that progress may be asked for before its build begins
_BACKLOG = 10_000


class HistoryEvent(NamedTuple):
    """Something became of a record; of one that is gone it has the ref only."""

    kind: Kind
    record: BuildHistoryRecord


class Result(NamedTuple):
    """What one output came to be (by its place in the request), or a platform's attestations."""

    outputs: tuple[tuple[int, Descriptor], ...] = ()
    attestations: tuple[Descriptor, ...] = ()


class History:
    """All builds of a daemon. Usable from any thread.

    Args:
        removed: called when a record went, as its blobs may go now.
    """

    def __init__(
        self, store: Store, config: HistoryConfig, log: Log, removed: Callable[[], None]
    ) -> None:
        self.records = HistoryStore(store.database, store.blobs)
        self._store = store
        self._config = config
        self._log = log
        self._removed = removed
        self._changed = threading.Condition()
        self._running: dict[str, RunningRecord] = {}
        self._listeners: list[deque[HistoryEvent]] = []
        for ref in self.records.drop_orphans():
            log.warn(f"deleting build record {ref} due to missing blobs")
        self._expire()

    def begin(self, record: BuildHistoryRecord, *, kept: bool = True) -> RunningRecord:
        """A build begins. Raises AlreadyExists if one of that ref runs.

        Args:
            kept: whether it becomes part of the history; builds that clients do for themselves
                do not.
        """
        if record.created_at is None:
            record = record._replace(created_at=at_seconds(time.time()))
        with self._changed:
            if record.ref in self._running:
                raise AlreadyExists(f"a build {record.ref} runs already")
            path = os.path.join(self._store.scratch, f"progress-{os.urandom(4).hex()}")
            running = RunningRecord(self, record, ProgressLog(path), kept)
            self._running[record.ref] = running
            if kept:
                self._tell(HistoryEvent(Kind.STARTED, record))
            self._changed.notify_all()
        return running

    def status(self, ref: str, cancel: Cancellation) -> Iterator[bytes]:
        """A build's progress, as encoded `StatusResponse`s. Waits a little for one to begin.

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
        """The records of what runs and will be kept."""
        with self._changed:
            return [item.record for item in self._running.values() if item.kept]

    def listen(
        self, ref: str, replay: Callable[[], None], cancel: Cancellation, ending: Cancellation
    ) -> Iterator[HistoryEvent]:
        """What runs now, then what becomes of it and of others, until `cancel`.

        When the daemon is `ending`, until nothing runs any more.

        Args:
            ref: only this one's, "" for all.
            replay: called between the two, when nothing that follows can be missed.
        """
        heard: deque[HistoryEvent] = deque()
        with self._changed:
            self._listeners.append(heard)
            active = self.running()
        try:
            for record in active:
                if ref in ("", record.ref):
                    yield HistoryEvent(Kind.STARTED, record)
            replay()
            with cancel.calling(self._wake), ending.calling(self._wake):
                while (event := self._next(heard, cancel, ending)) is not None:
                    if ref in ("", event.record.ref):
                        yield event
        finally:
            with self._changed:
                self._listeners.remove(heard)

    def pin(self, ref: str, pinned: bool) -> None:
        """Keep a record whatever its age, or no longer. Raises NotFound."""
        with self._changed:
            record = self.records.get(ref)
            if record is None:
                raise NotFound(f"no build {ref} in the history")
            record = record._replace(pinned=pinned, generation=record.generation + 1)
            self.records.put(record)
            self._tell(HistoryEvent(Kind.COMPLETE, record))

    def delete(self, ref: str) -> None:
        """Forget a record; nothing happens if there is none."""
        with self._changed:
            gone = self.records.delete(ref)
            self._tell(HistoryEvent(Kind.DELETED, BuildHistoryRecord(ref)))
        if gone:
            self._removed()

    def ended(self, running: RunningRecord, result: BuildHistoryRecord | None) -> None:
        """Called by a record that is finished; `result` is what to keep."""
        with self._changed:
            self._running.pop(running.record.ref, None)
            if result is not None:
                self._tell(HistoryEvent(Kind.COMPLETE, result))
            elif running.kept:
                gone = BuildHistoryRecord(running.record.ref)
                self._tell(HistoryEvent(Kind.DELETED, gone))
            self._changed.notify_all()
        if result is not None:
            self._expire()

    def keep(self, record: BuildHistoryRecord, log: ProgressLog, blobs: Sequence[bytes]) -> bool:
        """Record a build that has ended; whether that worked. A failure is only logged.

        Args:
            blobs: what the record refers to beside the log; b"" is nothing.
        """
        try:
            written = log.finish()
            with self._store.shared():  # nobody removes blobs meanwhile
                self._store.blobs.adopt(written.path, written.digest)
                for data in filter(None, blobs):
                    self._store.blobs.put(data)
                self.records.put(record)
        except (LaminaError, OSError) as failure:
            self._log.error(f"build {record.ref} was not recorded in the history: {failure}")
            return False
        return True

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
        self, heard: deque[HistoryEvent], cancel: Cancellation, ending: Cancellation
    ) -> HistoryEvent | None:
        with self._changed:
            while not heard and not cancel.cancelled:
                if ending.cancelled and not self._running:
                    return None
                self._changed.wait()
            if cancel.cancelled:
                return None
            if len(heard) > _BACKLOG:
                raise Exhausted("too slow for the events of build history")
            return heard.popleft()

    def _tell(self, event: HistoryEvent) -> None:
        for heard in self._listeners:
            if len(heard) <= _BACKLOG:
                heard.append(event)
        self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _expire(self) -> None:
        try:
            refs = self.records.expire(self._config.max_age, self._config.max_entries)
        except LaminaError as error:
            self._log.error(f"history: {error}")
            return
        if refs:
            with self._changed:
                for ref in refs:
                    self._tell(HistoryEvent(Kind.DELETED, BuildHistoryRecord(ref)))
            self._removed()


class RunningRecord:
    """A build while it runs. Leaving its `with` block finishes it, if `finish` did not.

    `record` is what it began with.
    """

    def __init__(
        self, history: History, record: BuildHistoryRecord, progress: ProgressLog, kept: bool
    ) -> None:
        self.record = record
        self.progress = progress
        self.kept = kept
        self._history = history
        self._lock = threading.Lock()
        self._finished = False

    @property
    def event_sink(self) -> EventSink:
        """Takes the build's events, for its log and its watchers."""
        return self.progress

    def finish(
        self,
        response: Sequence[tuple[str, str]] = (),
        result: Result = Result(),  # noqa: B008 - a value
        platforms: Sequence[tuple[str, Result]] = (),
        error: StatusError | LaminaError | None = None,
    ) -> None:
        """The build has ended: watchers hear of the end, and the record is kept.

        Args:
            response: what the client got of the exporters.
            result: what came of a build for one platform.
            platforms: or by platform, of several.
            error: what stopped it, if something did.
        """
        with self._lock:
            if self._finished:
                return
            self._finished = True
        written = self.progress.finish()
        ended: BuildHistoryRecord | None = None
        try:
            if self.kept:
                if isinstance(error, LaminaError):
                    error = to_status(error)
                status = None if error is None else status_of(error)
                message = b"" if status is None else encode(status, STATUS_SCHEMA)
                steps = self.progress.steps
                ended_at = time.time()
                trace = self._trace(ended_at, "" if status is None else status.message)
                record = self.record._replace(
                    completed_at=at_seconds(ended_at),
                    error=None if status is None else status._replace(details=()),
                    logs=Descriptor(MEDIA_TYPE, written.digest, written.size),
                    exporter_response=tuple(response),
                    result=_info(result),
                    results=tuple(
                        (name, _info(each) or BuildResultInfo()) for name, each in platforms
                    ),
                    num_cached_steps=steps.cached,
                    num_total_steps=steps.total,
                    num_completed_steps=steps.completed,
                    num_warnings=steps.warnings,
                    external_error=_blob(ERROR_MEDIA_TYPE, message),
                    trace=_blob(TRACE_MEDIA_TYPE, trace),
                )
                if self._history.keep(record, self.progress, (message, trace)):
                    ended = record
        finally:
            self._history.ended(self, ended)
            self.progress.close()

    def _trace(self, ended: float, error: str) -> bytes:
        began = self.record.created_at
        assert began is not None
        span = BuildSpan(
            self.record.ref, self.record.frontend, began.nanoseconds / 1e9, ended, error
        )
        return trace_of(span, self.progress.vertices)

    def __enter__(self) -> RunningRecord:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError):
            error = from_os_error(error, "build")
        if isinstance(error, StatusError | LaminaError):
            self.finish(error=error)
        else:
            self.finish(error=None if error is None else Internal("the build failed unexpectedly"))


def _info(result: Result) -> BuildResultInfo | None:
    if not result.outputs and not result.attestations:
        return None
    return BuildResultInfo(
        result.outputs[0][1] if result.outputs else None,
        result.attestations,
        tuple(IndexedDescriptor(*output) for output in result.outputs),
    )


def _blob(kind: str, data: bytes) -> Descriptor | None:
    if not data:
        return None
    from lamina.base.digest import digest_of

    return Descriptor(kind, digest_of(data), len(data))
