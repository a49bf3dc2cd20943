"""`lamina.v1.Planner`: plans builds in this daemon."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from lamina.api import control, planning
from lamina.api.failures import to_status
from lamina.api.history import BuildHistoryRecord
from lamina.api.message import text_request_of
from lamina.base.errors import InvalidInput, LaminaError, from_os_error
from lamina.base.redact import redacted_values
from lamina.daemon.solve_options import build_options
from lamina.records.plan_messages import plan_message
from lamina.records.plan_recorder import PlanRecorder
from lamina.records.request import recorded_output
from lamina.solver.planning import NotRun
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from lamina.engine.engine import Engine
    from lamina.records.plan import BuildPlan
    from lamina.session.table import SessionTable
    from lamina.stores.store import Store
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Handler, ServerCall


class PlanService:
    """The handler of `Plan`. Planned builds leave no record.

    Args:
        entitlements: those that clients may grant by the daemon's configuration.
    """

    def __init__(
        self,
        engine: Engine,
        store: Store,
        sessions: SessionTable,
        entitlements: frozenset[str],
    ) -> None:
        self._engine = engine
        self._store = store
        self._sessions = sessions
        self._entitlements = entitlements

    def handlers(self) -> dict[str, Handler]:
        return {planning.PLAN: self.plan}

    def plan(self, call: ServerCall) -> None:
        request = text_request_of(call, control.SolveRequest, control.SCHEMA)
        try:
            plan = self._plan(request, call.cancel)
        except (LaminaError, OSError) as error:
            failure = from_os_error(error, "plan") if isinstance(error, OSError) else error
            raise to_status(failure) from error
        call.send(encode(plan_message(plan), planning.SCHEMA))

    def _plan(self, request: control.SolveRequest, cancel: Cancellation) -> BuildPlan:
        if not request.frontend:
            raise InvalidInput("only builds of a frontend can be planned")
        options = build_options(request, self._entitlements, self._sessions, cancel)
        recorder = PlanRecorder()
        planner = self._engine.planner()
        attributes = dict(request.frontend_attrs)
        with (
            self._sessions.joined(request.session, cancel) as session,
            self._engine.open_build(
                session, options._replace(planned=True), recorder, cancel, recorder, planner
            ) as build,
        ):
            inputs = dict(request.frontend_inputs)
            for part in build.run_frontend(request.frontend, attributes, inputs).parts:
                with suppress(NotRun):
                    part.files.ref()
            record = BuildHistoryRecord(
                ref=request.ref,
                frontend=request.frontend,
                frontend_attrs=redacted_values(request.frontend_attrs),
                exporters=tuple(recorded_output(e.type, e.attrs) for e in request.exporters),
            )
            return recorder.plan(self._store, record, planner.planned(build.job))
