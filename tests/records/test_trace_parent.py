from __future__ import annotations

import pytest

from lamina.records.trace_parent import TraceParent, parse_trace_parent, trace_metadata

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(("flags", "sampled"), [("01", True), ("00", False), ("03", True)])
def test_a_parent(flags: str, sampled: bool) -> None:
    text = f"00-{TRACE}-{SPAN}-{flags}"
    assert parse_trace_parent(text) == TraceParent(TRACE, SPAN, sampled)


def test_later_versions_may_have_more_fields() -> None:
    assert parse_trace_parent(f"01-{TRACE}-{SPAN}-01-more") == TraceParent(TRACE, SPAN, True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
    ],
)
def test_what_is_no_parent_is_ignored(text: str) -> None:
    assert parse_trace_parent(text) is None
    assert trace_metadata({"TRACEPARENT": text}) == ()
