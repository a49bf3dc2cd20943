"""A recorded build as spans: a span for the build, and one in it for each step that started.

Two formats: OTLP's JSON encoding (opentelemetry-proto, `TracesData`), which trace collectors
import, and Chrome's trace event format, which Perfetto and chrome://tracing display. IDs are
derived from the build's, so the same record always gives the same spans.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeAlias

from lamina import __version__
from lamina.base.named_tuple import NamedTuple
from lamina.records.rows import RUNNING
from lamina.records.table import name_of, row_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamina.api.history import BuildHistoryRecord
    from lamina.records.steps import Step

_INTERNAL = 1
_USAGE = (
    *("cpu.time_ns", "memory.peak_bytes", "disk.read_bytes", "disk.written_bytes"),
    *("network.sent_bytes", "network.received_bytes"),
)
_ERROR = 2


Attributes: TypeAlias = "tuple[tuple[str, str | bool | int], ...]"


class Span(NamedTuple):
    """IDs are hexadecimal: 16 digits, `parent` "" for the build's own. Times are seconds.

    `links` are the spans of the steps that a step depends on.
    """

    id: str
    parent: str
    name: str
    began: float
    ended: float
    attributes: Attributes = ()
    links: tuple[str, ...] = ()
    error: str = ""


def trace_id(ref: str) -> str:
    """The ID of a build's trace: 32 hexadecimal digits."""
    return sha256(f"lamina trace {ref}".encode()).hexdigest()[:32]


def spans_of(record: BuildHistoryRecord, steps: Sequence[Step]) -> tuple[Span, ...]:
    """The spans of a build, its own first; `steps` are in the order of their numbers.

    Spans of steps that are still running, or were when the build was killed, end with the last
    event.
    """
    row = row_of(record)
    started = [step for step in steps if step.started is not None]
    moments = [row.completed, *(s.completed or s.started or 0.0 for s in started)]
    end = max(moments) if row.status == RUNNING else row.completed
    root = _id(record.ref, "")
    error = "" if record.error is None else record.error.message
    known = {step.digest for step in started}
    spans = [
        Span(
            root,
            "",
            f"build {name_of(record)}".strip(),
            row.created,
            max(row.created, end),
            (("build.ref", record.ref), ("build.status", row.status)),
            error=error,
        )
    ]
    for number, step in enumerate(steps, 1):
        if step.started is not None:
            began = step.started
            ended = end if step.completed is None else step.completed
            spans.append(
                Span(
                    _id(record.ref, step.digest),
                    root,
                    step.name,
                    began,
                    max(began, ended),
                    _attributes(number, step),
                    tuple(_id(record.ref, digest) for digest in step.inputs if digest in known),
                    step.error,
                )
            )
    return tuple(spans)


def otlp_document(ref: str, spans: Iterable[Span]) -> dict[str, Any]:
    """`TracesData` as OTLP encodes it in JSON: 64-bit integers are texts, IDs hexadecimal."""
    trace = trace_id(ref)
    resource = _otlp_attributes((("service.name", "lamina"), ("service.version", __version__)))
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": resource},
                "scopeSpans": [
                    {
                        "scope": {"name": "lamina", "version": __version__},
                        "spans": [_otlp_span(trace, span) for span in spans],
                    }
                ],
            }
        ]
    }


def chrome_document(spans: Sequence[Span]) -> dict[str, Any]:
    """Trace events in the JSON object format. Steps that overlap are on different threads."""
    events: list[dict[str, Any]] = [_chrome_name("process_name", 0, "lamina")]
    lanes: list[float] = []
    for span in sorted(spans, key=lambda span: (bool(span.parent), span.began)):
        lane = next((n for n, ended in enumerate(lanes) if ended <= span.began), len(lanes))
        if lane == len(lanes):
            lanes.append(0.0)
            events.append(_chrome_name("thread_name", lane, f"steps {lane}" if lane else "build"))
        lanes[lane] = span.ended
        arguments = dict(span.attributes) | ({"error": span.error} if span.error else {})
        events.append(
            {
                "ph": "X",
                "name": span.name,
                "cat": "step" if span.parent else "build",
                "ts": round(span.began * 1e6),
                "dur": round(span.ended * 1e6) - round(span.began * 1e6),
                "pid": 1,
                "tid": lane,
                "args": arguments,
            }
        )
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _id(ref: str, digest: str) -> str:
    return sha256(f"lamina span {ref} {digest}".encode()).hexdigest()[:16]


def _attributes(number: int, step: Step) -> Attributes:
    found: list[tuple[str, str | bool | int]] = [
        ("vertex", step.digest),
        ("step.number", number),
        ("cached", step.cached),
    ]
    if step.lookup is not None:
        found.append(("cache.key", step.lookup.key))
    if step.lines is not None:
        found += [("code.filepath", step.lines.filename), ("code.lineno", step.lines.first)]
    if step.usage is not None:
        values = zip(_USAGE, step.usage, strict=True)
        found += [(name, value) for name, value in values if value is not None]
    return tuple(found)


def _otlp_span(trace: str, span: Span) -> dict[str, Any]:
    found: dict[str, Any] = {
        "traceId": trace,
        "spanId": span.id,
        "name": span.name,
        "kind": _INTERNAL,
        "startTimeUnixNano": str(round(span.began * 1e9)),
        "endTimeUnixNano": str(round(span.ended * 1e9)),
        "attributes": _otlp_attributes(span.attributes),
        "status": {"code": _ERROR, "message": span.error} if span.error else {},
    }
    if span.parent:
        found["parentSpanId"] = span.parent
    if span.links:
        found["links"] = [{"traceId": trace, "spanId": link} for link in span.links]
    return found


def _otlp_attributes(attributes: Attributes) -> list[dict[str, Any]]:
    return [{"key": key, "value": _otlp_value(value)} for key, value in attributes]


def _otlp_value(value: str | bool | int) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    return {"stringValue": value} if isinstance(value, str) else {"intValue": str(value)}


def _chrome_name(kind: str, lane: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": 1, "tid": lane, "args": {"name": name}}
