"""A build's steps, read from its progress log and the definitions that it solved."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from lamina.api.progress import SCHEMA, StatusResponse
from lamina.base.digest import digest_of, parse_digest
from lamina.base.errors import LaminaError, NotFound
from lamina.base.named_tuple import NamedTuple
from lamina.llb.codec import decode_definition, decode_op
from lamina.records.progress_log import whole_frames
from lamina.wire.protobuf import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lamina.api.history import BuildHistoryRecord
    from lamina.api.timestamp import Timestamp
    from lamina.base.events import VertexEvent
    from lamina.base.resources import ResourceUsage
    from lamina.llb.op import Definition, Op
    from lamina.solver.lookup import CacheLookup
    from lamina.stores.blobs import BlobStore
    from lamina.system.cancel import Cancellation

_POLL = 0.1  # seconds between two looks at the log of a running build


class SourceLines(NamedTuple):
    """Lines of a file that a step comes from; `first` and `last` count from 1."""

    filename: str
    first: int
    last: int


class Step(NamedTuple):
    """A vertex of a build as recorded.

    `started` and `completed` are seconds since the epoch, None if it did not start or complete.
    `lookup` says how it was looked up in the caches; `op` is its operation, and `lines` where it
    was written: None for steps that are no operations (exports, loading the Dockerfile). `usage`
    is what its command used: None for steps that ran none, or whose builder does not measure.
    """

    digest: str
    name: str
    inputs: tuple[str, ...] = ()
    started: float | None = None
    completed: float | None = None
    cached: bool = False
    error: str = ""
    lookup: CacheLookup | None = None
    op: Op | None = None
    lines: SourceLines | None = None
    usage: ResourceUsage | None = None

    @property
    def ran(self) -> bool:
        """Whether it was executed, successfully or not."""
        return self.started is not None and not self.cached

    @property
    def duration(self) -> float:
        """Seconds; 0 for a step that did not start or complete."""
        if self.started is None or self.completed is None:
            return 0.0
        return max(0.0, self.completed - self.started)


def step_status(step: Step) -> str:
    """The status of a step: `not run`, `running`, `cached`, `error`, `canceled` or `done`."""
    if step.error:
        return "canceled" if "context canceled" in step.error else "error"
    if step.cached:
        return "cached"
    if step.started is None:
        return "not run"
    return "running" if step.completed is None else "done"


def step_of(event: VertexEvent) -> Step:
    """A vertex of a build that runs, from its events so far (`ProgressLog.vertices`)."""
    return Step(
        event.digest,
        event.name,
        event.inputs,
        event.started,
        event.completed,
        event.cached,
        event.error,
    )


def read_log(blobs: BlobStore, record: BuildHistoryRecord) -> Iterator[StatusResponse]:
    """The messages of a build's progress log, in order. Raises NotFound, Corrupt."""
    if record.logs is None:
        raise NotFound(f"build {record.ref} has no log")
    with blobs.open(parse_digest(record.logs.digest)) as file:
        yield from _messages(file)


def read_frames(path: str) -> Iterator[StatusResponse]:
    """The messages of the log of a running build, as far as they are written."""
    with open(path, "rb") as file:
        yield from _messages(file)


def follow_frames(
    path: str, has_ended: Callable[[], bool], cancel: Cancellation
) -> Iterator[StatusResponse]:
    """The messages of the log of a running build, until it has ended or `cancel`."""
    with open(path, "rb") as file:
        while not cancel.cancelled:
            ended = has_ended()  # first, because the log is complete before the record is
            at = file.tell()
            for frame in whole_frames(file):
                at += len(frame)
                yield _decoded(frame)
            file.seek(at)
            if ended or cancel.wait(_POLL):
                return


def _messages(file: BinaryIO) -> Iterator[StatusResponse]:
    for frame in whole_frames(file):
        yield _decoded(frame)


def _decoded(frame: bytes) -> StatusResponse:
    message: StatusResponse = decode(frame[4:], StatusResponse, SCHEMA)
    return message


def read_steps(blobs: BlobStore, record: BuildHistoryRecord) -> tuple[Step, ...]:
    """The steps of a build in the order in which they appeared. Raises NotFound, Corrupt."""
    return steps_of(read_log(blobs, record), lambda digest: read_definition(blobs, digest))


class StepFacts:
    """The data about a build's steps so far: definitions that it solves, and cache lookups.

    `dockerfile` is the text that the definitions were made from, "" if it is not known.
    """

    def __init__(self) -> None:
        self.dockerfile = ""
        self._lookups: dict[str, CacheLookup] = {}
        self._ops: dict[str, Op] = {}
        self._locations: dict[str, SourceLines] = {}
        self._redacted: dict[str, str] = {}

    def look_up(self, lookup: CacheLookup) -> None:
        self._lookups[lookup.vertex] = lookup

    def redact(self, renamed: Iterable[tuple[str, str]]) -> None:
        """Add pairs of digests of operations that are recorded with changes:
        `RecordedDefinition`."""
        self._redacted.update(renamed)

    def define(self, definition: Definition) -> None:
        for data in definition.ops:
            self._ops.setdefault(str(digest_of(data)), decode_op(data))
        source = definition.source
        if source is None:
            return
        for info in source.infos:
            self.dockerfile = self.dockerfile or info.data.decode("utf-8", "replace")
        for digest, entry in source.locations:
            for location in entry.locations:
                if 0 <= location.source_index < len(source.infos) and location.ranges:
                    first, last = location.ranges[0].start, location.ranges[-1].end
                    if first is not None and last is not None:
                        name = source.infos[location.source_index].filename
                        lines = SourceLines(name, first.line, last.line)
                        self._locations.setdefault(digest, lines)
                    break

    def complete(self, step: Step) -> Step:
        """A step with its lookup, operation and lines, where they are known."""
        return step._replace(
            lookup=self._lookups.get(step.digest),
            op=self._ops.get(self._redacted.get(step.digest, step.digest)),
            lines=self._locations.get(step.digest),
        )


def read_definition(blobs: BlobStore, digest: str) -> Definition | None:
    """A definition that a build solved, None if it is not in the store."""
    try:
        return decode_definition(blobs.read(parse_digest(digest), 64 << 20))
    except LaminaError:
        return None  # the disk was full, or it was pruned by hand


def steps_of(
    messages: Iterable[StatusResponse], definition_of: Callable[[str], Definition | None]
) -> tuple[Step, ...]:
    """Make the steps of a build. `definition_of` loads a definition by its digest."""
    return collect_steps(messages, StepFacts(), definition_of)


def collect_steps(
    messages: Iterable[StatusResponse],
    facts: StepFacts,
    definition_of: Callable[[str], Definition | None],
) -> tuple[Step, ...]:
    """Like `steps_of`; also adds data from the messages to `facts`."""
    found: dict[str, Step] = {}
    for message in messages:
        for vertex in message.vertexes:
            before = found.get(vertex.digest, Step(vertex.digest, vertex.name))
            started = _seconds(vertex.started)
            found[vertex.digest] = before._replace(
                name=vertex.name,
                inputs=vertex.inputs or before.inputs,
                started=before.started if before.started is not None else started,
                completed=_seconds(vertex.completed) or before.completed,
                cached=vertex.cached,
                error=vertex.error or before.error,
            )
        for spent in message.resources:
            if spent.vertex in found:
                found[spent.vertex] = found[spent.vertex]._replace(usage=spent.usage)
        for lookup in message.lookups:
            facts.look_up(lookup)
        for digest in message.definitions:
            definition = definition_of(digest)
            if definition is not None:
                facts.define(definition)
        facts.redact(message.redacted)
    return tuple(map(facts.complete, found.values()))


def _seconds(moment: Timestamp | None) -> float | None:
    return None if moment is None else moment.nanoseconds / 1e9
