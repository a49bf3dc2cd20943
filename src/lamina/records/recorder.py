"""Writes the record of a build while it runs."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.api.descriptor import Descriptor
from lamina.api.timestamp import at_seconds
from lamina.base.digest import digest_of
from lamina.base.errors import Internal, LaminaError, from_os_error
from lamina.base.events import VertexEvent
from lamina.base.named_tuple import NamedTuple
from lamina.records.progress_log import MEDIA_TYPE, ProgressLog
from lamina.records.table import References

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from lamina.api.history import BuildHistoryRecord, BuildResultInfo
    from lamina.base.events import Event, EventSink
    from lamina.llb.op import Definition
    from lamina.records.definitions import RecordedDefinition
    from lamina.records.live_reasons import LiveReasons
    from lamina.records.progress_log import Written
    from lamina.records.steps import Step
    from lamina.records.table import RecordTable
    from lamina.solver.lookup import CacheLookup
    from lamina.stores.store import Store
    from lamina.wire.contract import StatusError

TRACE_MEDIA_TYPE = "application/vnd.buildkit.otlp.json.v0"
ERROR_MEDIA_TYPE = "application/vnd.googeapis.google.rpc.status+proto"  # as clients know it
_FOLDER = "records"


class Result(NamedTuple):
    """The images of one result (by the number of the output), or a platform's attestations."""

    outputs: tuple[tuple[int, Descriptor], ...] = ()
    attestations: tuple[Descriptor, ...] = ()


class BuildRecorder:
    """The record of a running build. Leaving its `with` block finishes it, if `finish` did not.

    A record that cannot be written does not fail the build: `failed` is called instead.

    Args:
        record: the data that is known at the start.
        kept: whether it becomes part of the history. If not, only the progress log is written, for
            clients that watch the build.
        ended: called at the end with the complete record, or None if none was kept.
        failed: called with the reason why the record could not be kept.
        trace: makes the trace that BuildKit's clients read; None: there is none.
    """

    def __init__(
        self,
        store: Store,
        table: RecordTable,
        record: BuildHistoryRecord,
        *,
        kept: bool = True,
        ended: Callable[[BuildRecorder, BuildHistoryRecord | None], None] = lambda *_: None,
        failed: Callable[[LaminaError], None] = lambda _: None,
        trace: Callable[[BuildHistoryRecord, Sequence[Step]], bytes] | None = None,
    ) -> None:
        if record.created_at is None:
            record = record._replace(created_at=at_seconds(time.time()))
        self.record = record
        self.kept = kept
        self._store = store
        self._table = table
        self._ended = ended
        self._failed = failed
        self._make_trace = trace
        self._lock = threading.Lock()
        self._finished = False
        self._definitions: set[str] = set()
        self._lookups: dict[str, CacheLookup] = {}
        self._solved: list[RecordedDefinition] = []
        self._explained: set[str] = set()
        self._reasons: LiveReasons | None = None
        self._contents: set[str] = set()
        name = os.urandom(12).hex()
        self.progress = self._open_log(name)
        if self.kept:
            try:
                table.begin(record, name)
            except LaminaError as error:
                self._give_up(error)

    @property
    def event_sink(self) -> EventSink:
        """Receives the build's events, for its log and for clients that watch it."""
        return self.tee(None)

    def tee(self, events: EventSink | None) -> EventSink:
        """A sink that records events and passes them on, and reports why steps missed the cache."""
        log = self.progress
        lookups = self._lookups

        def record(event: Event, /) -> None:
            log(event)
            if events is not None:
                events(event)

        def sink(event: Event, /) -> None:
            record(event)
            if isinstance(event, VertexEvent) and event.started is not None:
                lookup = lookups.get(event.digest)
                if lookup is not None and not (lookup.hit or lookup.ephemeral or event.cached):
                    self._explain(event.digest, record)

        return sink

    def _explain(self, vertex: str, sink: EventSink) -> None:
        """Queue the explanation for a step that starts to run."""
        with self._lock:
            if vertex in self._explained or self._finished or not self.kept:
                return
            self._explained.add(vertex)
            if self._reasons is None:
                from lamina.records.live_reasons import LiveReasons

                self._reasons = LiveReasons(
                    self._store, self._table, self.record, self._state, sink
                )
            self._reasons.explain(vertex)

    def _state(
        self,
    ) -> tuple[list[VertexEvent], dict[str, CacheLookup], list[RecordedDefinition]]:
        with self._lock:
            return self.progress.vertices, dict(self._lookups), list(self._solved)

    def look_up(self, lookup: CacheLookup) -> None:
        """Record how a vertex was looked up in the caches."""
        with self._lock:
            self._contents.update(part.content for part in lookup.parts if part.by_content)
            self._lookups[lookup.vertex] = lookup
        self.progress.look_up(lookup)

    def define(self, definition: Definition) -> None:
        """Record a definition that the build solves."""
        from lamina.llb.codec import encode_definition
        from lamina.records.definitions import recorded_definition

        if not self.kept:
            return
        recorded, redacted_ops = solved = recorded_definition(definition)
        try:
            digest = self._store.blobs.put(encode_definition(recorded))
        except (LaminaError, OSError):
            return  # the disk is full: the record lacks the definition
        with self._lock:
            if digest in self._definitions:
                return
            self._definitions.add(digest)
            self._solved.append(solved)
        self.progress.define(digest, redacted_ops)

    def finish(
        self,
        response: Sequence[tuple[str, str]] = (),
        result: Result = Result(),  # noqa: B008 - a value
        platforms: Sequence[tuple[str, Result]] = (),
        error: StatusError | LaminaError | None = None,
    ) -> None:
        """Complete the record: the build has ended.

        Args:
            response: the exporters' response to the client.
            result: the result of a build for one platform.
            platforms: or the results by platform, of several.
            error: the error that stopped it, if there was one.
        """
        with self._lock:
            if self._finished:
                return
            self._finished = True
            reasons = self._reasons
        if reasons is not None:
            reasons.close()
        written = self.progress.finish()
        ended: BuildHistoryRecord | None = None
        try:
            if self.kept:
                ended = self._keep(written, tuple(response), result, platforms, error)
        finally:
            self._ended(self, ended)
            self.progress.close()

    def _keep(
        self,
        written: Written,
        response: tuple[tuple[str, str], ...],
        result: Result,
        platforms: Sequence[tuple[str, Result]],
        error: StatusError | LaminaError | None,
    ) -> BuildHistoryRecord | None:
        message = b""
        record = self.record
        if error is not None:
            record, message = _with_error(record, error)
        steps = self.progress.steps
        record = record._replace(completed_at=at_seconds(time.time()))
        trace = self._trace(record)
        record = record._replace(
            logs=Descriptor(MEDIA_TYPE, written.digest, written.size),
            exporter_response=response,
            result=_info(result),
            results=tuple((name, _required_info(each)) for name, each in platforms),
            num_cached_steps=steps.cached,
            num_total_steps=steps.total,
            num_completed_steps=steps.completed,
            num_warnings=steps.warnings,
            external_error=blob_descriptor(ERROR_MEDIA_TYPE, message),
            trace=blob_descriptor(TRACE_MEDIA_TYPE, trace),
        )
        references = References(frozenset(self._definitions), frozenset(self._contents))
        try:
            with self._store.shared():  # nobody removes blobs meanwhile
                self._store.blobs.adopt(written.path, written.digest)
                for data in filter(None, (message, trace)):
                    self._store.blobs.put(data)
                self._table.put(record, references)
                if isinstance(error, LaminaError) and error.step is not None:
                    from lamina.records.evidence import EvidenceTable

                    name = self._name_of(error.step.digest)
                    EvidenceTable(self._store).put(record.ref, name, error.step)
        except (LaminaError, OSError) as failure:
            self._give_up(failure)
            with suppress(LaminaError):
                self._table.delete(record.ref)
            return None
        return record

    def _name_of(self, digest: str) -> str:
        return next((v.name for v in self.progress.vertices if v.digest == digest), "")

    def _trace(self, record: BuildHistoryRecord) -> bytes:
        if self._make_trace is None:
            return b""
        from lamina.records.steps import step_of

        lookups = self._lookups
        steps = map(step_of, self.progress.vertices)
        return self._make_trace(record, [s._replace(lookup=lookups.get(s.digest)) for s in steps])

    def _open_log(self, name: str) -> ProgressLog:
        if self.kept:
            folder = self._store.path(_FOLDER)
            try:
                return ProgressLog(os.path.join(folder, name))
            except FileNotFoundError:
                os.makedirs(folder, mode=0o700, exist_ok=True)
                return ProgressLog(os.path.join(folder, name))
        return ProgressLog(os.path.join(self._store.scratch, f"progress-{name}"))

    def _give_up(self, error: LaminaError | OSError) -> None:
        self.kept = False
        failure = from_os_error(error, "write the record") if isinstance(error, OSError) else error
        self._failed(failure)

    def __enter__(self) -> BuildRecorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        from lamina.wire.contract import StatusError

        if isinstance(error, OSError):
            error = from_os_error(error, "build")
        if error is None or isinstance(error, StatusError | LaminaError):
            self.finish(error=error)
        else:
            self.finish(error=Internal("the build failed unexpectedly"))


def _with_error(
    record: BuildHistoryRecord, error: StatusError | LaminaError
) -> tuple[BuildHistoryRecord, bytes]:
    """A record with its error, and the message that has the error's details."""
    from lamina.api.failures import to_status
    from lamina.api.status import SCHEMA, status_of
    from lamina.wire.protobuf import encode

    status = status_of(to_status(error) if isinstance(error, LaminaError) else error)
    return record._replace(error=status._replace(details=())), encode(status, SCHEMA)


def blob_descriptor(media_type: str, data: bytes) -> Descriptor | None:
    """The descriptor of a blob; None without data."""
    return Descriptor(media_type, digest_of(data), len(data)) if data else None


def _info(result: Result) -> BuildResultInfo | None:
    if not result.outputs and not result.attestations:
        return None
    return _required_info(result)


def _required_info(result: Result) -> BuildResultInfo:
    from lamina.api.history import BuildResultInfo, IndexedDescriptor

    return BuildResultInfo(
        result.outputs[0][1] if result.outputs else None,
        result.attestations,
        tuple(IndexedDescriptor(*output) for output in result.outputs),
    )
