"""The progress log of a build, in a file that any number of readers can follow.

The file has the format of a record's log in BuildKit's history
(`application/vnd.buildkit.status.v0`): frames of a length (32 bits, little-endian) and so many
bytes of a `StatusResponse`. lamina adds fields to that message (`lamina.api.progress`). Every
reader starts at the beginning and reads at its own speed, so a late one misses nothing and a slow
one delays no other. A killed process leaves complete frames, except possibly the last one.
"""

from __future__ import annotations

import os
import threading
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO

from lamina.api.progress import (
    SCHEMA,
    RedactedOp,
    StatusResponse,
    Vertex,
    VertexLog,
    VertexReason,
    VertexResources,
    VertexStatus,
    VertexWarning,
)
from lamina.api.timestamp import Timestamp, at_seconds
from lamina.base.digest import Digest
from lamina.base.errors import Corrupt
from lamina.base.events import (
    LogEvent,
    ReasonEvent,
    ResourceEvent,
    StatusEvent,
    VertexEvent,
    WarningEvent,
)
from lamina.base.named_tuple import NamedTuple
from lamina.base.redact import redacted
from lamina.llb.op import OpProgressGroup, Position, Range, SourceInfo
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lamina.base.events import Event
    from lamina.solver.lookup import CacheLookup
    from lamina.system.cancel import Cancellation

MEDIA_TYPE = "application/vnd.buildkit.status.v0"
_CHUNK = 256 << 10
_BATCH = 1 << 20  # BuildKit's limit: only a single piece of log makes a message larger
_PIECE = 1 << 20
_LENGTH = 4
# the interval in seconds in which a message to a reader collects events, because one per event
# costs more
_GATHERING = 0.02


class Steps(NamedTuple):
    """The numbers of vertices and of warnings in a log."""

    total: int
    completed: int
    cached: int
    warnings: int


class Written(NamedTuple):
    """A finished log: its path, digest, and size in bytes."""

    path: str
    digest: Digest
    size: int


class ProgressLog:
    """Takes a build's events (it is an `EventSink`) until `finish`; `read` from any thread.

    Close it; the file is then removed, unless it was moved away.

    Args:
        path: the file to create.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._over = threading.Condition(self._lock)
        self._hash = sha256()
        self._size = 0
        self._ended = False
        self._closed = False
        self._readers = 0
        self._vertices: dict[str, VertexEvent] = {}
        self._warnings = 0

    def __call__(self, event: Event) -> None:
        self._write(responses(event), event)

    def look_up(self, lookup: CacheLookup) -> None:
        """Record how a vertex was looked up in the caches."""
        self._write([StatusResponse(lookups=(lookup,))])

    def define(self, definition: Digest, redacted: Iterable[tuple[str, str]] = ()) -> None:
        """Record a definition that the build solves: the digest of its blob, and pairs of digests
        of operations that are recorded with changes."""
        ops = tuple(RedactedOp(*digests) for digests in redacted)
        self._write([StatusResponse(definitions=(definition,), redacted=ops)])

    def _write(self, messages: Iterable[StatusResponse], event: Event | None = None) -> None:
        encoded = [encode(message, SCHEMA) for message in messages]
        framed = b"".join(len(m).to_bytes(_LENGTH, "little") + m for m in encoded)
        with self._changed:
            if self._ended:
                return
            if event is not None:
                self._count(event)
            if not self._append(framed):
                return
            self._size += len(framed)
            self._hash.update(framed)
            self._changed.notify_all()

    @property
    def steps(self) -> Steps:
        with self._changed:
            states = self._vertices.values()
            completed = sum(step.completed is not None for step in states)
            cached = sum(step.cached for step in states)
            return Steps(len(states), completed, cached, self._warnings)

    @property
    def vertices(self) -> list[VertexEvent]:
        """All vertices from their first start to their last end, in order of appearance."""
        with self._changed:
            return list(self._vertices.values())

    def finish(self) -> Written:
        """End the log; readers end when they have read everything."""
        with self._changed:
            self._ended = True
            self._wake_all()
            return Written(self._path, Digest(f"sha256:{self._hash.hexdigest()}"), self._size)

    def close(self) -> None:
        with self._changed:
            self._ended = self._closed = True
            self._wake_all()
            self._free()
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            return

    def read(self, cancel: Cancellation) -> Iterator[bytes]:
        """Encoded `StatusResponse`s from the start to the end. Raises Cancelled.

        Iterate over it at once: until then the file is kept.
        """
        with self._changed:
            if self._closed:
                return iter(())
            self._readers += 1
        return self._read(cancel)

    def _read(self, cancel: Cancellation) -> Iterator[bytes]:
        try:
            with cancel.calling(self._wake):
                yield from join_frames(lambda at: self._next(at, cancel))
        finally:
            with self._changed:
                self._readers -= 1
                self._free()

    def _append(self, framed: bytes) -> bool:
        """Append a message. Without disk space, messages are neither recorded nor shown, but the
        build continues."""
        try:
            if os.pwrite(self._fd, framed, self._size) == len(framed):
                return True
            os.ftruncate(self._fd, self._size)
        except OSError:
            pass
        return False

    def _next(self, at: int, cancel: Cancellation) -> bytes:
        """The bytes from `at` on; waits for some. b"" at the end."""
        with self._changed:
            while at >= self._size and not self._ended and not cancel.cancelled:
                self._changed.wait()
            if self._size - at < _CHUNK and not self._ended and not cancel.cancelled:
                self._over.wait(_GATHERING)
            cancel.check()
            there = self._size - at
        return os.pread(self._fd, min(there, _CHUNK), at) if there > 0 else b""

    def _wake(self) -> None:
        with self._lock:
            self._wake_all()

    def _wake_all(self) -> None:
        self._changed.notify_all()
        self._over.notify_all()

    def _free(self) -> None:
        if self._closed and not self._readers and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _count(self, event: Event) -> None:
        if isinstance(event, VertexEvent):
            known = self._vertices.get(event.digest, event)
            self._vertices[event.digest] = event._replace(
                started=event.started if known.started is None else known.started,
                completed=known.completed if event.completed is None else event.completed,
                cached=known.cached or event.cached,
                error=event.error or known.error,
            )
        elif isinstance(event, WarningEvent):
            self._warnings += 1


def replay(path: str) -> Iterator[bytes]:
    """The encoded `StatusResponse`s of a finished log. Raises Corrupt, OSError."""
    with open(path, "rb") as file:
        yield from join_frames(lambda at: os.pread(file.fileno(), _CHUNK, at))


def whole_frames(file: BinaryIO) -> Iterator[bytes]:
    """The frames of a log, with their lengths, up to an incomplete one."""
    while True:
        head = file.read(_LENGTH)
        length = int.from_bytes(head, "little")
        body = file.read(length) if len(head) == _LENGTH else b""
        if len(head) < _LENGTH or len(body) < length:
            return
        yield head + body


def join_frames(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Join frames into messages: all fields are repeated, so consecutive messages can be joined.

    Args:
        read: returns bytes from a position on, b"" at the end.
    """
    at = 0
    rest = b""
    while data := read(at):
        at += len(data)
        rest += data
        taken = 0
        batch: list[bytes] = []
        size = 0
        while len(rest) - taken >= _LENGTH:
            length = int.from_bytes(rest[taken : taken + _LENGTH], "little")
            end = taken + _LENGTH + length
            if end > len(rest):
                break
            if batch and size + length > _BATCH:
                yield b"".join(batch)
                batch, size = [], 0
            batch.append(rest[taken + _LENGTH : end])
            size += length
            taken = end
        if batch:
            yield b"".join(batch)
        rest = rest[taken:]
    if rest:
        raise Corrupt("a build's log ends within a message")


def responses(event: Event) -> Iterator[StatusResponse]:
    """An event as messages. A long piece of a command's output becomes several."""
    match event:
        case VertexEvent():
            yield StatusResponse(vertexes=(_vertex(event),))
        case StatusEvent():
            yield StatusResponse(statuses=(_status(event),))
        case LogEvent():
            moment = at_seconds(event.timestamp)
            for at in range(0, len(event.data), _PIECE):
                piece = event.data[at : at + _PIECE]
                yield StatusResponse(logs=(VertexLog(event.vertex, moment, event.stream, piece),))
        case ReasonEvent():
            yield StatusResponse(reasons=(VertexReason(event.vertex, event.text),))
        case ResourceEvent():
            yield StatusResponse(resources=(VertexResources(event.vertex, event.usage),))
        case WarningEvent():
            yield StatusResponse(warnings=(_warning(event),))


def _vertex(event: VertexEvent) -> Vertex:
    group = event.group
    return Vertex(
        event.digest,
        event.inputs,
        event.name,
        event.cached,
        _moment(event.started),
        _moment(event.completed),
        event.error,
        None if group is None else OpProgressGroup(group.id, group.name, group.weak),
    )


def _status(event: StatusEvent) -> VertexStatus:
    return VertexStatus(
        event.id,
        event.vertex,
        event.name,
        event.current,
        event.total,
        at_seconds(event.timestamp),
        _moment(event.started),
        _moment(event.completed),
    )


def _warning(event: WarningEvent) -> VertexWarning:
    place = event.location
    warning = VertexWarning(
        event.vertex,
        event.level,
        event.short.encode(),
        tuple(line.encode() for line in event.detail),
        event.url,
    )
    if place is None:
        return warning
    return warning._replace(
        info=SourceInfo(
            place.filename,
            redacted(place.text).encode("utf-8", "surrogateescape"),
            language=place.language,
        ),
        ranges=(Range(Position(place.start), Position(place.end)),),
    )


def _moment(seconds: float | None) -> Timestamp | None:
    return None if seconds is None else at_seconds(seconds)
