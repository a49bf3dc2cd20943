"""A build's trace: a span for the build, and one in it for every step, from its progress.

The form is that of a record's trace in BuildKit's history: OpenTelemetry's spans as Go's SDK
prints them for tests, one JSON document after the other. What calls took within a step, and what
clients traced for themselves, is not in it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from lamina import __version__
from lamina.base.gojson import encode_indented
from lamina.base.named_tuple import NamedTuple
from lamina.base.times import format_time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamina.base.events import VertexEvent

_INTERNAL, _SERVER = 1, 2
_NO_SPAN = "0" * 16


class BuildSpan(NamedTuple):
    """The whole build; times in seconds, `error` "" if it worked."""

    ref: str
    frontend: str
    began: float
    ended: float
    error: str = ""


def trace_of(build: BuildSpan, vertices: Iterable[VertexEvent]) -> bytes:
    """The spans, the build's first. What never started took no time and has none."""
    trace, root = os.urandom(16).hex(), os.urandom(8).hex()
    steps = [step for step in vertices if step.started is not None]
    attributes = {"ref": build.ref, **({"frontend": build.frontend} if build.frontend else {})}
    spans = [
        {
            **_span(trace, root, _NO_SPAN, "moby.buildkit.v1.Control/Solve", _SERVER),
            **_lasting(build.began, build.ended, build.error, attributes),
            "ChildSpanCount": len(steps),
        }
    ]
    for step in steps:
        began = step.started or build.began
        ended = build.ended if step.completed is None else step.completed
        described: dict[str, str | bool] = {"vertex": str(step.digest), "cached": step.cached}
        spans.append(
            {
                **_span(trace, os.urandom(8).hex(), root, step.name, _INTERNAL),
                **_lasting(began, ended, step.error, described),
                "ChildSpanCount": 0,
            }
        )
    ending = {
        "Resource": _attributes({"service.name": "lamina", "service.version": __version__}),
        "InstrumentationLibrary": {"Name": "lamina", "Version": __version__, "SchemaURL": ""},
    }
    return b"".join(encode_indented({**span, **ending}) + b"\n" for span in spans)


def _span(trace: str, span: str, parent: str, name: str, kind: int) -> dict[str, Any]:
    within = trace if parent != _NO_SPAN else "0" * 32
    return {
        "Name": name,
        "SpanContext": _context(trace, span),
        "Parent": _context(within, parent),
        "SpanKind": kind,
    }


def _lasting(began: float, ended: float, error: str, attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "StartTime": format_time(began),
        "EndTime": format_time(max(began, ended)),
        "Attributes": _attributes(attributes),
        "Events": None,
        "Links": None,
        "Status": {"Code": "Error" if error else "Unset", "Description": error},
        "DroppedAttributes": 0,
        "DroppedEvents": 0,
        "DroppedLinks": 0,
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


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"Key": key, "Value": {"Type": _type(value), "Value": value}}
        for key, value in values.items()
    ]


def _type(value: str | bool) -> str:
    return "BOOL" if isinstance(value, bool) else "STRING"
