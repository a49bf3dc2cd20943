"""The progress of a build in a daemon, as events for any display."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.api.control import SCHEMA, STATUS, StatusRequest
from lamina.api.progress import StatusResponse
from lamina.base.digest import Digest
from lamina.base.errors import LaminaError
from lamina.base.events import (
    LogEvent,
    ProgressGroup,
    ReasonEvent,
    ResourceEvent,
    StatusEvent,
    VertexEvent,
    WarningEvent,
)
from lamina.system.cancel import Cancellation
from lamina.wire.contract import StatusError, send_request
from lamina.wire.protobuf import decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.api.progress import Vertex, VertexLog, VertexStatus, VertexWarning
    from lamina.api.timestamp import Timestamp
    from lamina.base.events import Event, EventSink
    from lamina.wire.contract import Channel

_SECOND = 1e9
_QUIET = 5.0
"""How long to wait for further events after the end of the build (s)."""


@contextmanager
def watched(channel: Channel, ref: str, events: EventSink) -> Iterator[None]:
    """Send the progress of a build during the block to `events`, completely.

    A daemon that sends no progress does not stop the build.
    """
    watch = _Watch(channel, ref, events)
    watch.start()
    try:
        yield
    finally:
        watch.end()


class _Watch:
    def __init__(self, channel: Channel, ref: str, events: EventSink) -> None:
        self._channel = channel
        self._ref = ref
        self._events = events
        self._cancel = Cancellation()
        self._count = 0
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Wait for the remaining events, as long as some arrive."""
        while self._thread.is_alive():
            before = self._count
            self._thread.join(_QUIET)
            if self._count == before:
                self._cancel.cancel("the build is over")
                self._thread.join()

    def _run(self) -> None:
        try:
            with self._channel.open(STATUS, (), self._cancel) as call:
                send_request(call, encode(StatusRequest(self._ref), SCHEMA))
                while (message := call.receive()) is not None:
                    self._count += 1
                    for event in events_of(decode(message, StatusResponse, SCHEMA)):
                        self._events(event)
        except (StatusError, LaminaError):
            return  # the call of the build raises its error


def events_of(response: StatusResponse) -> Iterator[Event]:
    """The events in a message."""
    yield from map(_vertex, response.vertexes)
    yield from map(_status, response.statuses)
    yield from map(_log, response.logs)
    yield from map(_warning, response.warnings)
    yield from (ReasonEvent(Digest(each.vertex), each.text) for each in response.reasons)
    for each in response.resources:
        if each.usage is not None:
            yield ResourceEvent(Digest(each.vertex), each.usage)


def _vertex(vertex: Vertex) -> VertexEvent:
    group = vertex.progress_group
    return VertexEvent(
        Digest(vertex.digest),
        vertex.name,
        tuple(map(Digest, vertex.inputs)),
        _seconds(vertex.started),
        _seconds(vertex.completed),
        vertex.cached,
        vertex.error,
        None if group is None else ProgressGroup(group.id, group.name, group.weak),
    )


def _status(status: VertexStatus) -> StatusEvent:
    return StatusEvent(
        Digest(status.vertex),
        status.id,
        _seconds(status.timestamp) or 0.0,
        status.current,
        status.total,
        _seconds(status.started),
        _seconds(status.completed),
        status.name,
    )


def _log(log: VertexLog) -> LogEvent:
    return LogEvent(Digest(log.vertex), log.stream, log.msg, _seconds(log.timestamp) or 0.0)


def _warning(warning: VertexWarning) -> WarningEvent:
    location = None
    if warning.info is not None:
        from lamina.api.failures import location_of

        location = location_of(warning.info, warning.ranges)
    return WarningEvent(
        Digest(warning.vertex),
        _text(warning.short),
        tuple(map(_text, warning.detail)),
        warning.url,
        location,
        warning.level,
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _seconds(moment: Timestamp | None) -> float | None:
    return None if moment is None else moment.nanoseconds / _SECOND
