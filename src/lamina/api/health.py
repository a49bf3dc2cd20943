"""`grpc.health.v1.Health`: health checks of sessions and daemons."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.wire.fields import integer, string

if TYPE_CHECKING:
    from lamina.wire.protobuf import Schema

SERVICE = "grpc.health.v1.Health"
CHECK = f"/{SERVICE}/Check"
WATCH = f"/{SERVICE}/Watch"


class ServingStatus(IntEnum):
    UNKNOWN = 0
    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3


class HealthCheckRequest(NamedTuple):
    service: str = ""


class HealthCheckResponse(NamedTuple):
    status: ServingStatus = ServingStatus.UNKNOWN


SCHEMA: Schema = {
    HealthCheckRequest: (string(1, "service"),),
    HealthCheckResponse: (integer(1, "status", ServingStatus),),
}
