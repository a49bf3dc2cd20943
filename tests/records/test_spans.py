from __future__ import annotations

from lamina.api.history import BuildHistoryRecord
from lamina.api.status import Status
from lamina.api.timestamp import at_seconds
from lamina.base.resources import ResourceUsage
from lamina.records.spans import chrome_document, otlp_document, spans_of, trace_id
from lamina.records.steps import SourceLines, Step

RECORD = BuildHistoryRecord(
    "abc",
    created_at=at_seconds(10.0),
    completed_at=at_seconds(20.0),
    error=Status(2, "exit code: 1"),
    context_path="/src/app",
)
STEPS = (
    Step("d1", "COPY . .", (), 11.0, 12.0, cached=True, lines=SourceLines("Dockerfile", 2, 2)),
    Step("d2", "RUN one", ("d1", "d9"), 12.0, 15.0, usage=ResourceUsage(5, 6, bytes_read=0)),
    Step("d3", "RUN two", ("d1",), 13.0, None, error="exit code: 1"),
    Step("d4", "RUN three", ("d3",)),
)


def test_spans() -> None:
    build, copy, one, two = spans_of(RECORD, STEPS)
    assert (build.name, build.began, build.ended, build.parent) == ("build app", 10.0, 20.0, "")
    assert build.error == "exit code: 1"
    assert {span.parent for span in (copy, one, two)} == {build.id}
    assert dict(copy.attributes)["cached"] is True
    assert dict(copy.attributes)["code.lineno"] == 2
    usage = [pair for pair in one.attributes if "." in pair[0] and pair[0] != "step.number"]
    assert usage == [("cpu.time_ns", 5), ("memory.peak_bytes", 6), ("disk.read_bytes", 0)]
    assert one.links == two.links == (copy.id,)
    assert two.ended == 20.0  # with the build
    assert spans_of(RECORD, STEPS) == (build, copy, one, two)


def test_a_running_build_ends_with_what_ended_last() -> None:
    running = RECORD._replace(completed_at=None, error=None)
    build, *_, last = spans_of(running, STEPS)
    assert build.ended == last.ended == 15.0


def test_otlp() -> None:
    document = otlp_document("abc", spans_of(RECORD, STEPS))
    [resource] = document["resourceSpans"]
    [scope] = resource["scopeSpans"]
    build, copy, one, two = scope["spans"]
    assert {span["traceId"] for span in scope["spans"]} == {trace_id("abc")}
    assert len(trace_id("abc")) == 32 and len(copy["spanId"]) == 16
    assert "parentSpanId" not in build and copy["parentSpanId"] == build["spanId"]
    assert (one["startTimeUnixNano"], one["endTimeUnixNano"]) == ("12000000000", "15000000000")
    assert one["links"] == [{"traceId": trace_id("abc"), "spanId": copy["spanId"]}]
    assert two["status"] == {"code": 2, "message": "exit code: 1"}
    assert {"key": "cached", "value": {"boolValue": True}} in copy["attributes"]
    assert {"key": "step.number", "value": {"intValue": "2"}} in one["attributes"]


def test_chrome() -> None:
    document = chrome_document(spans_of(RECORD, STEPS))
    events = [event for event in document["traceEvents"] if event["ph"] == "X"]
    lanes = {event["name"]: event["tid"] for event in events}
    assert lanes == {"build app": 0, "COPY . .": 1, "RUN one": 1, "RUN two": 2}
    [one] = [event for event in events if event["name"] == "RUN one"]
    assert (one["ts"], one["dur"]) == (12_000_000, 3_000_000)
    names = [event["args"]["name"] for event in document["traceEvents"] if event["ph"] == "M"]
    assert names == ["lamina", "build", "steps 1", "steps 2"]
