"""`Control.Solve`: runs builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.api import control as api
from lamina.api.failures import to_status
from lamina.api.history import BuildHistoryRecord
from lamina.api.message import text_request_of
from lamina.attest.contract import FrontendCall
from lamina.attest.options import wanted_attestations
from lamina.base.errors import (
    Exhausted,
    InvalidInput,
    LaminaError,
    from_os_error,
)
from lamina.base.redact import redacted_values
from lamina.daemon.history_result import HistoryResult, history_result
from lamina.daemon.session_receiver import SessionReceiver
from lamina.daemon.solve_options import build_options, output_of, outputs_of, response_of
from lamina.engine.frontends.llb_bridge import LlbBridge
from lamina.engine.frontends.platform_check import check_platforms
from lamina.engine.frontends.wire_result import read_result
from lamina.records.request import recorded_cache, recorded_output
from lamina.records.trace_parent import METADATA
from lamina.wire.contract import Code, StatusError
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from lamina.api.exporter import FindExportersRequest
    from lamina.daemon.gateway import GatewayService
    from lamina.daemon.gc import Collector
    from lamina.daemon.history import History
    from lamina.daemon.span_exports import SpanExports
    from lamina.daemon.worker import Worker
    from lamina.engine.build import Build
    from lamina.engine.build_result import BuildResult
    from lamina.engine.engine import Engine
    from lamina.exporters.destination import Output
    from lamina.records.recorder import BuildRecorder
    from lamina.session.remote_session import RemoteSession
    from lamina.session.table import SessionTable
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Handler, ServerCall


class SolveService:
    """The handler of `Solve`.

    Args:
        entitlements: those that clients may grant by the daemon's configuration.
        collector: notified at every build's end.
    """

    def __init__(
        self,
        engine: Engine,
        worker: Worker,
        sessions: SessionTable,
        gateway: GatewayService,
        history: History,
        entitlements: frozenset[str],
        collector: Collector,
        spans: SpanExports,
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._sessions = sessions
        self._gateway = gateway
        self._history = history
        self._entitlements = entitlements
        self._collector = collector
        self._spans = spans

    def handlers(self) -> dict[str, Handler]:
        return {api.SOLVE: self.solve}

    def solve(self, call: ServerCall) -> None:
        request = text_request_of(call, api.SolveRequest, api.SCHEMA)
        if not request.ref:
            raise StatusError(Code.INVALID_ARGUMENT, "a build needs a ref")
        caches = request.cache or api.CacheOptions()
        record = BuildHistoryRecord(
            ref=request.ref,
            frontend=request.frontend,
            frontend_attrs=redacted_values(request.frontend_attrs),
            exporters=tuple(recorded_output(e.type, e.attrs) for e in request.exporters),
            cache_imports=tuple(recorded_cache(e.type, e.attrs) for e in caches.imports),
            cache_exports=tuple(recorded_cache(e.type, e.attrs) for e in caches.exports),
        )
        parent = next((str(v) for k, v in call.metadata if k == METADATA), "")
        try:
            with self._history.begin(record, kept=not request.internal) as running:
                response, recorded = self._build(request, running, call.cancel)
                running.finish(sorted(response.items()), *recorded)
        except (LaminaError, OSError) as error:
            failure = from_os_error(error, "build") if isinstance(error, OSError) else error
            if isinstance(failure, Exhausted):
                self._collector.hurry()
            raise to_status(failure) from error
        finally:
            self._collector.wake()
            if not request.internal:
                self._spans.export(request.ref, parent)
        call.send(encode(api.SolveResponse(tuple(sorted(response.items()))), api.SCHEMA))

    def _build(
        self, request: api.SolveRequest, recorder: BuildRecorder, cancel: Cancellation
    ) -> tuple[dict[str, str], HistoryResult]:
        events = recorder.event_sink
        outputs = outputs_of(request)
        attestations = wanted_attestations(dict(request.frontend_attrs))
        options = build_options(request, self._entitlements, self._sessions, cancel)
        with (
            self._sessions.joined(request.session, cancel) as session,
            self._engine.open_build(session, options, events, cancel, recorder) as build,
        ):
            bridge = self._bridge(build, request)
            with self._gateway.registered(request.ref, bridge):
                result = self._result(build, request, bridge)
                check_platforms(dict(request.frontend_attrs).get("platform"), result, events)
                if request.enable_session_exporter:
                    outputs += _found_outputs(
                        session, request, bridge.exporter_request(result), cancel
                    )
                receiver = SessionReceiver(session, cancel)
                finished = build.finish(result, outputs, receiver, attestations)
                response = response_of(finished.metadata(), result.metadata)
                if request.enable_session_exporter:
                    session.finalize_export(tuple(sorted(response.items())), cancel)
                recorded = HistoryResult()
                if not request.internal:
                    provenance = attestations.provenance
                    recorded = history_result(build, result, outputs, finished, provenance)
        return response, recorded

    def _bridge(self, build: Build, request: api.SolveRequest) -> LlbBridge:
        """The bridge for a frontend in the client, or for a client that inspects results."""
        inputs = dict(request.frontend_inputs)
        origins = build.origins_of(inputs)
        call = FrontendCall(request.frontend, dict(request.frontend_attrs), origins)
        return LlbBridge(build, call, inputs, (self._worker.record(),))

    def _result(self, build: Build, request: api.SolveRequest, bridge: LlbBridge) -> BuildResult:
        given = request.definition is not None and bool(request.definition.ops)
        if request.frontend:
            if given:
                raise InvalidInput("cannot solve with both a definition and a frontend")
            inputs = dict(request.frontend_inputs)
            return build.run_frontend(request.frontend, dict(request.frontend_attrs), inputs)
        if request.definition is not None:
            return read_result(build.solvable(request.definition), None, {})
        return bridge.wait(build.cancel)


def _found_outputs(
    session: RemoteSession,
    request: api.SolveRequest,
    offer: FindExportersRequest,
    cancel: Cancellation,
) -> list[Output]:
    """The outputs that the client chooses when it knows the result."""
    first = len(request.exporters)
    return [
        output_of(request, wanted.type, wanted.attrs, first + number)
        for number, wanted in enumerate(session.find_exporters(offer, cancel))
    ]
