"""Exports the spans of builds to a collector, as the OTLP exporters of OpenTelemetry do.

The variables are those of OpenTelemetry (specification, `sdk-environment-variables` and
`protocol/exporter`). lamina reads those that decide whether and how long it exports, the library
the others (endpoint, headers, compression, certificates, attributes of the resource).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lamina.base.errors import LaminaError
from lamina.base.named_tuple import NamedTuple
from lamina.base.redact import redacted
from lamina.records.naming import in_order
from lamina.records.spans import spans_of, trace_id
from lamina.records.steps import read_steps
from lamina.records.trace_parent import parse_trace_parent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.api.history import BuildHistoryRecord
    from lamina.records.steps import Step
    from lamina.stores.blobs import BlobStore

_TRACES, _ALL = "OTEL_EXPORTER_OTLP_TRACES", "OTEL_EXPORTER_OTLP"
_PROTOCOLS = ("http/protobuf", "grpc")
_TIMEOUT = 5.0
"""Seconds that an export may take by default: a command waits for it."""


class ExportSettings(NamedTuple):
    """`protocol` is `http/protobuf`, `grpc`, or one that is not supported; `timeout` in seconds."""

    endpoint: str
    protocol: str
    timeout: float


def export_settings(environ: Mapping[str, str]) -> ExportSettings | None:
    """None if the environment asks for no export."""
    endpoint = _setting(environ, "ENDPOINT")
    exporters = environ.get("OTEL_TRACES_EXPORTER", "otlp").strip()
    off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    off = off or environ.get("OTEL_TRACES_SAMPLER", "").strip() == "always_off"
    if not endpoint or off or "otlp" not in exporters.split(","):
        return None
    timeout = _setting(environ, "TIMEOUT")  # milliseconds
    return ExportSettings(
        endpoint,
        _setting(environ, "PROTOCOL") or _PROTOCOLS[0],
        int(timeout) / 1000 if timeout.isdecimal() else _TIMEOUT,
    )


def export_spans(
    settings: ExportSettings,
    record: BuildHistoryRecord,
    steps: Sequence[Step],
    parent: str,
) -> str:
    """Export the spans of a build that has ended; never take longer than `settings.timeout`.

    Args:
        steps: in the order of their numbers.
        parent: the `traceparent` that the build was started with, "" for none.

    Returns why they were not exported, "" if they were, or if the parent is not sampled.
    """
    above = parse_trace_parent(parent)
    if above is not None and not above.sampled:
        return ""
    if settings.protocol not in _PROTOCOLS:
        return f'protocol "{settings.protocol}" is not supported: use {" or ".join(_PROTOCOLS)}'
    spans = spans_of(record, steps)
    trace = trace_id(record.ref)
    if above is not None:
        trace, spans = above.trace, (spans[0]._replace(parent=above.span), *spans[1:])
    outcome: list[str] = []

    def work() -> None:
        try:
            from lamina.records.otlp import send

            outcome.append(send(settings.protocol, settings.timeout, trace, spans))
        except ImportError as error:
            outcome.append(f"{error}: install it with `pip install 'lamina[otel]'`")
        except Exception as error:
            outcome.append(f"{type(error).__name__}: {error}")

    # Name servers and libraries have timeouts of their own, which nobody waits for.
    thread = threading.Thread(target=work, name="spans", daemon=True)
    thread.start()
    thread.join(settings.timeout)
    return outcome[0] if outcome else f"it did not answer within {settings.timeout:g}s"


def export_recorded(
    settings: ExportSettings, blobs: BlobStore, record: BuildHistoryRecord, parent: str
) -> str:
    """`export_spans` of a record. Returns the warning if they were not exported, else ""."""
    try:
        reason = export_spans(settings, record, in_order(read_steps(blobs, record)), parent)
    except LaminaError as error:
        reason = str(error)
    if not reason:
        return ""
    target = redacted(settings.endpoint)
    return f"the spans of build {record.ref} were not exported to {target}: {reason}"


def _setting(environ: Mapping[str, str], name: str) -> str:
    return environ.get(f"{_TRACES}_{name}", "").strip() or environ.get(f"{_ALL}_{name}", "").strip()
