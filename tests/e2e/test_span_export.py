"""Spans of builds at a collector: a real one of HTTP, and one of gRPC."""

from __future__ import annotations

import json
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from tests.commands import Lamina, RemoteLamina
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
_DOCKERFILE = "FROM base\nRUN echo one\nRUN echo two\n"
_ERROR = 2


class Collector:
    """What was received: requests with their headers or metadata."""

    def __init__(self) -> None:
        self.requests: list[tuple[Any, dict[str, str]]] = []
        self.arrived = threading.Condition()
        self.url = ""

    def receive(self, request: Any, headers: dict[str, str]) -> None:
        with self.arrived:
            self.requests.append((request, headers))
            self.arrived.notify_all()

    def spans(self, count: int = 1) -> list[Any]:
        """All spans, once so many requests are there."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.requests) >= count, 30)
            return [
                span
                for request, _ in self.requests
                for resource in request.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            ]


@contextmanager
def http_collector() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
            collector.receive(request, {**self.headers, "path": self.path})
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            collector.url = f"http://127.0.0.1:{server.server_address[1]}"
            yield collector
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def grpc_collector() -> Iterator[Collector]:
    collector = Collector()

    class Service(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            metadata = {key: str(value) for key, value in context.invocation_metadata()}
            collector.receive(request, metadata)
            return trace_service_pb2.ExportTraceServiceResponse()

    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        register: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
        register(Service(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            collector.url = f"http://127.0.0.1:{port}"
            yield collector
        finally:
            server.stop(None).wait()


def resource(collector: Collector) -> dict[str, str]:
    [(request, _), *_] = collector.requests
    attributes = request.resource_spans[0].resource.attributes
    return {each.key: each.value.string_value for each in attributes}


def run(lamina: Lamina, folder: Path, **environment: str) -> str:
    done = lamina("build", str(folder), env=environment)
    assert done.code == 0, done.err
    return done.err


def test_over_http(lamina: Lamina, context: Callable[..., Path]) -> None:
    with http_collector() as collector:
        run(
            lamina,
            context(_DOCKERFILE),
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_EXPORTER_OTLP_HEADERS="x-key=a%20value",
            OTEL_SERVICE_NAME="my-builds",
            OTEL_RESOURCE_ATTRIBUTES="team=images",
            TRACEPARENT=f"00-{TRACE}-{PARENT}-01",
        )
        build, *steps = collector.spans()
        [(_, headers)] = collector.requests
    assert (headers["path"], headers["x-key"]) == ("/v1/traces", "a value")
    assert build.name.startswith("build ")
    assert (build.trace_id.hex(), build.parent_span_id.hex()) == (TRACE, PARENT)
    assert {step.parent_span_id for step in steps} == {build.span_id}
    [one] = [step for step in steps if "echo one" in step.name]
    [two] = [step for step in steps if "echo two" in step.name]
    assert [link.span_id for link in two.links] == [one.span_id]
    assert build.start_time_unix_nano <= one.start_time_unix_nano < one.end_time_unix_nano
    assert one.end_time_unix_nano <= build.end_time_unix_nano
    assert "cpu.time_ns" in {attribute.key for attribute in one.attributes}
    found = resource(collector)
    assert (found["service.name"], found["team"]) == ("my-builds", "images")


def test_over_grpc_with_an_error(lamina: Lamina, context: Callable[..., Path]) -> None:
    with grpc_collector() as collector:
        environment = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=value",
        }
        folder = context("FROM base\nRUN exit 3\n")
        assert lamina("build", str(folder), env=environment).code == 1
        build, *steps = collector.spans()
        [(_, metadata)] = collector.requests
    assert metadata["x-key"] == "value"
    [failed] = [step for step in steps if "exit 3" in step.name]
    assert build.status.code == failed.status.code == _ERROR
    assert "exit code: 3" in build.status.message
    assert not build.parent_span_id
    shown = json.loads(lamina("history", "trace").out)
    [scope] = shown["resourceSpans"][0]["scopeSpans"]
    assert scope["spans"][0]["traceId"] == build.trace_id.hex()
    assert resource(collector)["service.name"] == "lamina"


def test_a_daemon_exports_its_builds(tmp_path: Path, context: Callable[..., Path]) -> None:
    with http_collector() as collector:
        export = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        with DaemonProcess(tmp_path / "store", env=export) as daemon:
            lamina = RemoteLamina(tmp_path, daemon.address)
            run(lamina, context(_DOCKERFILE), TRACEPARENT=f"00-{TRACE}-{PARENT}-01")
            build, *steps = collector.spans()
            assert (build.trace_id.hex(), build.parent_span_id.hex()) == (TRACE, PARENT)
            assert any("echo two" in step.name for step in steps)
            run(lamina, context(_DOCKERFILE), TRACEPARENT=f"00-{TRACE}-{PARENT}-00")
            run(lamina, context(_DOCKERFILE))
            collector.spans(2)
        assert len({span.trace_id for span in collector.spans(2)}) == 2  # one was not sampled


def test_nobody_listens(lamina: Lamina, context: Callable[..., Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for protocol in ("http/protobuf", "grpc"):
        log = run(
            lamina,
            context(_DOCKERFILE),
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_EXPORTER_OTLP_TIMEOUT="2000",
        )
        assert log.count(f"were not exported to http://127.0.0.1:{port}") == 1, log
        assert "Traceback" not in log


def test_nobody_answers(lamina: Lamina, context: Callable[..., Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        log = run(
            lamina,
            context(_DOCKERFILE),
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}",
            OTEL_EXPORTER_OTLP_TIMEOUT="1500",
        )
    assert "were not exported to" in log


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        (("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"), 'protocol "http/json" is not supported'),
        (("PYTHONPATH", ""), "pip install 'lamina[otel]'"),
    ],
)
def test_what_stops_an_export(
    lamina: Lamina,
    context: Callable[..., Path],
    tmp_path: Path,
    variable: tuple[str, str],
    text: str,
) -> None:
    name, value = variable
    if name == "PYTHONPATH":  # a package without the SDK hides the real one
        (tmp_path / "hidden" / "opentelemetry").mkdir(parents=True)
        (tmp_path / "hidden" / "opentelemetry" / "__init__.py").touch()
        value = os.pathsep.join((str(tmp_path / "hidden"), os.environ.get("PYTHONPATH", "")))
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", name: value}
    log = run(lamina, context(_DOCKERFILE), **environment)
    assert log.count(text) == 1, log
