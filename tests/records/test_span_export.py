from __future__ import annotations

import pytest

from lamina.records.span_export import ExportSettings, export_settings

URL = "http://collector:4318"
EXPORT = {"OTEL_EXPORTER_OTLP_ENDPOINT": URL}


def test_no_endpoint_no_export() -> None:
    assert export_settings({}) is None
    assert export_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}) is None


@pytest.mark.parametrize(
    "variable",
    [
        {"OTEL_SDK_DISABLED": "True"},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_TRACES_SAMPLER": "always_off"},
    ],
)
def test_switched_off(variable: dict[str, str]) -> None:
    assert export_settings(EXPORT | variable) is None


def test_defaults() -> None:
    settings = ExportSettings(URL, "http/protobuf", 5.0)
    assert export_settings(EXPORT) == settings
    assert export_settings(EXPORT | {"OTEL_SDK_DISABLED": "1"}) == settings


def test_the_settings_of_traces_come_first() -> None:
    settings = export_settings(
        {
            **EXPORT,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://traces/x",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "2500",
        }
    )
    assert settings == ExportSettings("http://traces/x", "grpc", 2.5)
