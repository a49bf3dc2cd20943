"""Sends spans by OTLP, with OpenTelemetry's library (the extra `lamina[otel]`)."""

from __future__ import annotations

import logging
from itertools import islice
from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from lamina import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamina.records.spans import Span

_BATCH = 512  # spans in one request: collectors limit its size


def send(protocol: str, timeout: float, trace: str, spans: Iterable[Span]) -> str:
    """Export spans. Returns why they were not exported, "" if they were.

    Args:
        protocol: `grpc` or `http/protobuf`.
        timeout: in seconds.
        trace: the ID of their trace.

    Raises ImportError if the library for the protocol is missing.
    """
    complaints = _Complaints()
    logger = logging.getLogger("opentelemetry")
    logger.addHandler(complaints)
    try:
        exporter = _exporter(protocol, timeout)
        try:
            resource = _resource()
            left = iter(spans)
            while batch := list(islice(left, _BATCH)):
                readable = [_readable(trace, span, resource) for span in batch]
                if exporter.export(readable) is not SpanExportResult.SUCCESS:
                    return complaints.last or "the exporter failed"
        finally:
            exporter.shutdown()
    finally:
        logger.removeHandler(complaints)
    return ""


class _Complaints(logging.Handler):
    """Keeps what the library logs. Without a handler, Python would print it."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()


def _exporter(protocol: str, timeout: float) -> SpanExporter:
    # The library reads the variable for the timeout in seconds, against the specification.
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(timeout=timeout)
    from opentelemetry.exporter.otlp.proto.http import trace_exporter

    return trace_exporter.OTLPSpanExporter(timeout=timeout)


def _resource() -> Resource:
    """What `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say comes before lamina's own."""
    own = Resource({"service.name": "lamina", "service.version": __version__})
    return own.merge(OTELResourceDetector().detect())


def _readable(trace: str, span: Span, resource: Resource) -> ReadableSpan:
    return ReadableSpan(
        span.name,
        context=_context(trace, span.id),
        parent=_context(trace, span.parent) if span.parent else None,
        resource=resource,
        attributes=dict(span.attributes),
        links=[Link(_context(trace, link)) for link in span.links],
        kind=SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
        start_time=round(span.began * 1e9),
        end_time=round(span.ended * 1e9),
        instrumentation_scope=InstrumentationScope("lamina", __version__),
    )


def _context(trace: str, span: str) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(trace, 16), int(span, 16), is_remote=False, trace_flags=flags)
