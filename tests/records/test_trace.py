"""The spans of builds."""

from __future__ import annotations

import json
from typing import Any

from lamina.api.history import BuildHistoryRecord
from lamina.api.status import Status
from lamina.api.timestamp import at_seconds
from lamina.base.digest import digest_of
from lamina.records.steps import Step
from lamina.records.trace import trace_of

ONE, TWO = digest_of(b"1"), digest_of(b"2")


def spans(data: bytes) -> list[dict[str, Any]]:
    found, rest = [], data.decode()
    while rest.strip():
        document, end = json.JSONDecoder().raw_decode(rest)
        found.append(document)
        rest = rest[end:].lstrip()
    return found


def record(began: float, ended: float, error: str = "") -> BuildHistoryRecord:
    return BuildHistoryRecord(
        "r",
        "dockerfile.v0",
        created_at=at_seconds(began),
        completed_at=at_seconds(ended),
        error=Status(2, error) if error else None,
    )


def test_a_span_for_the_build_and_each_step() -> None:
    steps = [
        Step(ONE, "[1/2] RUN x", started=2.0, completed=3.5, cached=True),
        Step(TWO, "[2/2] RUN y", (ONE,), started=4.0, error="failed"),
        Step(digest_of(b"3"), "never reached"),
    ]
    root, *inner = spans(trace_of(record(1.0, 5.0, "failed"), steps))
    assert (root["Name"], root["SpanKind"]) == ("moby.buildkit.v1.Control/Solve", 2)
    assert root["ChildSpanCount"] == 2
    assert root["Status"] == {"Code": "Error", "Description": "failed"}
    assert [(s["Name"], s["StartTime"], s["EndTime"]) for s in inner] == [
        ("[1/2] RUN x", "1970-01-01T00:00:02Z", "1970-01-01T00:00:03.5Z"),
        ("[2/2] RUN y", "1970-01-01T00:00:04Z", "1970-01-01T00:00:05Z"),
    ]
    context = root["SpanContext"]
    assert [span["Parent"] for span in inner] == [context, context]
    assert root["Parent"]["SpanID"] == "0" * 16
    assert inner[1]["Links"][0]["SpanContext"] == inner[0]["SpanContext"]
    assert {"Key": "vertex", "Value": {"Type": "STRING", "Value": ONE}} in inner[0]["Attributes"]
    assert {"Key": "cached", "Value": {"Type": "BOOL", "Value": True}} in inner[0]["Attributes"]
    assert {"Key": "ref", "Value": {"Type": "STRING", "Value": "r"}} in root["Attributes"]
    assert len({str(span["SpanContext"]) for span in (root, *inner)}) == 3


def test_no_span_ends_before_it_begins() -> None:
    (root,) = spans(trace_of(record(5.0, 1.0), ()))
    assert root["StartTime"] == root["EndTime"]
    assert root["Status"] == {"Code": "Unset", "Description": ""}
