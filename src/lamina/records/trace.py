"""A build's trace as BuildKit's history keeps it, from the build's spans.

The form is that of OpenTelemetry's spans as Go's SDK prints them for tests, one JSON document after
the other. What calls took within a step, and what clients traced for themselves, is not in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina import __version__
from lamina.base.gojson import encode_indented
from lamina.base.times import format_time
from lamina.records.naming import in_order
from lamina.records.spans import spans_of, trace_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamina.api.history import BuildHistoryRecord
    from lamina.records.spans import Attributes, Span
    from lamina.records.steps import Step

_INTERNAL, _SERVER = 1, 2
_NO_SPAN, _NO_TRACE = "0" * 16, "0" * 32
_CALL = "moby.buildkit.v1.Control/Solve"


def trace_of(record: BuildHistoryRecord, steps: Sequence[Step]) -> bytes:
    """The spans of a build that has ended, its own first, which has the name of its call."""
    build, *inner = spans_of(record, in_order(steps))
    frontend = (("frontend", record.frontend),) if record.frontend else ()
    call = build._replace(name=_CALL, attributes=(("ref", record.ref), *frontend))
    trace = trace_id(record.ref)
    documents = [_document(trace, call, len(inner)), *(_document(trace, s, 0) for s in inner)]
    return b"".join(encode_indented(document) + b"\n" for document in documents)


def _document(trace: str, span: Span, children: int) -> dict[str, Any]:
    return {
        "Name": span.name,
        "SpanContext": _context(trace, span.id),
        "Parent": _context(trace, span.parent) if span.parent else _context(_NO_TRACE, _NO_SPAN),
        "SpanKind": _INTERNAL if span.parent else _SERVER,
        "StartTime": format_time(span.began),
        "EndTime": format_time(span.ended),
        "Attributes": _attributes(span.attributes),
        "Events": None,
        "Links": _links(trace, span.links) if span.links else None,
        "Status": {"Code": "Error" if span.error else "Unset", "Description": span.error},
        "DroppedAttributes": 0,
        "DroppedEvents": 0,
        "DroppedLinks": 0,
        "ChildSpanCount": children,
        "Resource": _attributes((("service.name", "lamina"), ("service.version", __version__))),
        "InstrumentationLibrary": {"Name": "lamina", "Version": __version__, "SchemaURL": ""},
    }


def _context(trace: str, span: str) -> dict[str, Any]:
    flags = "00" if span == _NO_SPAN else "01"
    return {
        "TraceID": trace,
        "SpanID": span,
        "TraceFlags": flags,
        "TraceState": "",
        "Remote": False,
    }


def _links(trace: str, spans: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"SpanContext": _context(trace, span), "Attributes": None, "DroppedAttributeCount": 0}
        for span in spans
    ]


def _attributes(attributes: Attributes) -> list[dict[str, Any]]:
    return [
        {"Key": key, "Value": {"Type": _type(value), "Value": value}} for key, value in attributes
    ]


def _type(value: str | bool | int) -> str:
    if isinstance(value, bool):
        return "BOOL"
    return "STRING" if isinstance(value, str) else "INT64"
