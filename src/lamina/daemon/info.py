"""`Control.Info`, `Control.ListWorkers`, and gRPC's health service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.api import control as api
from lamina.api import health
from lamina.api.message import request_of
from lamina.base.filters import parse_filters
from lamina.daemon.worker import VERSION
from lamina.system.cancel import wait_any
from lamina.wire.contract import Code, StatusError
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from lamina.daemon.worker import Worker
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Handler, ServerCall


class InfoService:
    """Handlers that describe the daemon.

    Args:
        ending: cancelled when the daemon shuts down; watchers of its health are then notified.
    """

    def __init__(self, worker: Worker, ending: Cancellation) -> None:
        self._worker = worker
        self._ending = ending

    def handlers(self) -> dict[str, Handler]:
        return {
            api.INFO: self.info,
            api.LIST_WORKERS: self.list_workers,
            health.CHECK: self.check,
            health.WATCH: self.watch,
        }

    def info(self, call: ServerCall) -> None:
        request_of(call, api.InfoRequest, api.SCHEMA)
        call.send(encode(api.InfoResponse(VERSION), api.SCHEMA))

    def list_workers(self, call: ServerCall) -> None:
        request = request_of(call, api.ListWorkersRequest, api.SCHEMA)
        labels = dict(self._worker.labels)

        def field(path: tuple[str, ...]) -> str | None:
            if path == ("id",):
                return self._worker.id
            if path[0] == "labels" and len(path) > 1:
                return labels.get(".".join(path[1:]))
            return None

        here = parse_filters(request.filter).matches(field)
        records = (self._worker.record(),) if here else ()
        call.send(encode(api.ListWorkersResponse(records), api.SCHEMA))

    def check(self, call: ServerCall) -> None:
        request = request_of(call, health.HealthCheckRequest, health.SCHEMA)
        if not _is_served(request.service):
            raise StatusError(Code.NOT_FOUND, "unknown service")
        self._notify(call, self._state())

    def watch(self, call: ServerCall) -> None:
        request = request_of(call, health.HealthCheckRequest, health.SCHEMA)
        if not _is_served(request.service):
            self._notify(call, health.ServingStatus.SERVICE_UNKNOWN)
            wait_any(call.cancel, self._ending)
            return
        self._notify(call, health.ServingStatus.SERVING)
        wait_any(call.cancel, self._ending)
        self._notify(call, health.ServingStatus.NOT_SERVING)

    def _state(self) -> health.ServingStatus:
        ending = self._ending.cancelled
        return health.ServingStatus.NOT_SERVING if ending else health.ServingStatus.SERVING

    @staticmethod
    def _notify(call: ServerCall, state: health.ServingStatus) -> None:
        call.send(encode(health.HealthCheckResponse(state), health.SCHEMA))


def _is_served(service: str) -> bool:
    return service in ("", api.SERVICE)
