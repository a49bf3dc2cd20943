"""`--progress=rawjson`: one JSON object per line, BuildKit's `client.SolveStatus`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.events import LogEvent, ReasonEvent, ResourceEvent, StatusEvent, VertexEvent
from lamina.base.redact import redacted
from lamina.cli.progress.text import encoded
from lamina.cli.units import show_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.base.events import Event, WarningEvent
    from lamina.base.resources import ResourceUsage

_USAGE = ("cpuTime", "peakMemory", "bytesRead", "bytesWritten", "bytesSent", "bytesReceived")


class RawJsonRenderer:
    """Writes to `out`, which takes bytes and must write them all."""

    def __init__(self, out: Callable[[bytes], object]) -> None:
        self._out = out

    def update(self, events: Sequence[Event], now: float) -> None:
        import json

        for event in events:
            text = json.dumps(document(event), ensure_ascii=False, separators=(",", ":"))
            self._out(text.encode("utf-8", "replace") + b"\n")

    def leave(self) -> None:
        return

    def finish(self, now: float) -> None:
        return


def document(event: Event) -> dict[str, Any]:
    """A `SolveStatus` with one event. Bytes are base64, times RFC 3339."""
    if isinstance(event, VertexEvent):
        return {"vertexes": [_vertex(event)]}
    if isinstance(event, StatusEvent):
        return {"statuses": [_status(event)]}
    if isinstance(event, LogEvent):
        log = {
            "vertex": event.vertex,
            "stream": event.stream,
            "data": _base64(event.data),
            "timestamp": show_time(event.timestamp),
        }
        return {"logs": [log]}
    if isinstance(event, ReasonEvent):
        return {"reasons": [{"vertex": event.vertex, "text": event.text}]}
    if isinstance(event, ResourceEvent):
        return {"resources": [{"vertex": event.vertex, **usage_document(event.usage)}]}
    return {"warnings": [_warning(event)]}


def usage_document(usage: ResourceUsage) -> dict[str, int]:
    """Without what is not known. The CPU time is in nanoseconds, the rest in bytes."""
    values = zip(_USAGE, usage, strict=True)
    return {name: value for name, value in values if value is not None}


def _vertex(event: VertexEvent) -> dict[str, Any]:
    vertex: dict[str, Any] = {"digest": event.digest}
    if event.inputs:
        vertex["inputs"] = list(event.inputs)
    vertex["name"] = event.name
    _add_times(vertex, event)
    if event.cached:
        vertex["cached"] = True
    if event.error:
        vertex["error"] = event.error
    if event.group is not None:
        group: dict[str, Any] = {"id": event.group.id, "name": event.group.name}
        if event.group.weak:
            group["weak"] = True
        vertex["progressGroup"] = group
    return vertex


def _status(event: StatusEvent) -> dict[str, Any]:
    status: dict[str, Any] = {"id": event.id, "vertex": event.vertex}
    if event.name:
        status["name"] = event.name
    if event.total:
        status["total"] = event.total
    status["current"] = event.current
    status["timestamp"] = show_time(event.timestamp)
    _add_times(status, event)
    return status


def _warning(event: WarningEvent) -> dict[str, Any]:
    warning: dict[str, Any] = {
        "vertex": event.vertex,
        "level": event.level,
        "short": _base64(encoded(event.short)),
    }
    if event.detail:
        warning["detail"] = [_base64(encoded(line)) for line in event.detail]
    if event.url:
        warning["url"] = event.url
    place = event.location
    if place is not None:
        warning["sourceInfo"] = {
            "filename": place.filename,
            "data": _base64(encoded(redacted(place.text))),
        }
        warning["range"] = [{"start": {"line": place.start}, "end": {"line": place.end}}]
    return warning


def _add_times(target: dict[str, Any], event: VertexEvent | StatusEvent) -> None:
    if event.started is not None:
        target["started"] = show_time(event.started)
    if event.completed is not None:
        target["completed"] = show_time(event.completed)


def _base64(data: bytes) -> str:
    from binascii import b2a_base64

    return b2a_base64(data, newline=False).decode()
