"""The trace that a build belongs to: `traceparent` of W3C Trace Context, level 1."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "TRACEPARENT"
"""The environment variable of commands (OpenTelemetry, environment variables as carriers)."""
METADATA = "traceparent"
"""The metadata of calls."""

_FORM = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?",
    re.DOTALL,
)
_SAMPLED = 1


class TraceParent(NamedTuple):
    """IDs are hexadecimal. Spans of a trace that is not `sampled` are not recorded."""

    trace: str
    span: str
    sampled: bool


def trace_metadata(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The metadata of a call that begins a build, so that a daemon's spans are in its trace."""
    parent = environ.get(VARIABLE, "")
    return ((METADATA, parent),) if parse_trace_parent(parent) is not None else ()


def parse_trace_parent(text: str) -> TraceParent | None:
    """None if the text is none, which is to be ignored (section 2.3)."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        return None
    return TraceParent(match[1], match[2], bool(int(match[3], 16) & _SAMPLED))
