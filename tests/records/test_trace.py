"""Builds as spans."""

from __future__ import annotations

import json
from typing import Any

from lamina.base.digest import digest_of
from lamina.base.events import VertexEvent
from lamina.records.trace import BuildSpan, trace_of

ONE, TWO = digest_of(b"1"), digest_of(b"2")


def spans(data: bytes) -> list[dict[str, Any]]:
    found, rest = [], data.decode()
    while rest.strip():
        document, end = json.JSONDecoder().raw_decode(rest)
        found.append(document)
        rest = rest[end:].lstrip()
    return found


def test_a_span_for_the_build_and_each_step() -> None:
    steps = [
        VertexEvent(ONE, "[1/2] RUN x", started=2.0, completed=3.5, cached=True),
        VertexEvent(TWO, "[2/2] RUN y", started=4.0, error="failed"),
        VertexEvent(digest_of(b"3"), "never reached"),
    ]
    root, *inner = spans(trace_of(BuildSpan("r", "dockerfile.v0", 1.0, 5.0, "failed"), steps))
    assert root["ChildSpanCount"] == 2
    assert root["Status"] == {"Code": "Error", "Description": "failed"}
    assert [(s["Name"], s["StartTime"], s["EndTime"]) for s in inner] == [
        ("[1/2] RUN x", "1970-01-01T00:00:02Z", "1970-01-01T00:00:03.5Z"),
        ("[2/2] RUN y", "1970-01-01T00:00:04Z", "1970-01-01T00:00:05Z"),
    ]
    context = root["SpanContext"]
    assert [span["Parent"] for span in inner] == [context, context]
    assert {"Key": "vertex", "Value": {"Type": "STRING", "Value": ONE}} in inner[0]["Attributes"]
    assert {"Key": "cached", "Value": {"Type": "BOOL", "Value": True}} in inner[0]["Attributes"]
    assert len({str(span["SpanContext"]) for span in (root, *inner)}) == 3


def test_no_span_ends_before_it_begins() -> None:
    (root,) = spans(trace_of(BuildSpan("r", "", 5.0, 1.0), ()))
    assert root["StartTime"] == root["EndTime"]
    assert root["Status"] == {"Code": "Unset", "Description": ""}
