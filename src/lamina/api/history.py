"""The part of `moby.buildkit.v1.Control` about the build history."""

from __future__ import annotations

from enum import IntEnum

from lamina.api import descriptor, outputs, status, timestamp
from lamina.api.descriptor import Descriptor
from lamina.api.outputs import CacheOptionsEntry, Exporter
from lamina.api.status import Status
from lamina.api.timestamp import Timestamp
from lamina.base.named_tuple import NamedTuple
from lamina.wire.fields import boolean, integer, many, mapping, one, string, strings
from lamina.wire.protobuf import Kind, Schema

SERVICE = "moby.buildkit.v1.Control"
LISTEN_BUILD_HISTORY = f"/{SERVICE}/ListenBuildHistory"
UPDATE_BUILD_HISTORY = f"/{SERVICE}/UpdateBuildHistory"


class BuildHistoryEventType(IntEnum):
    STARTED = 0
    COMPLETE = 1
    DELETED = 2


class BuildHistoryRequest(NamedTuple):
    """A request for build records. `early_exit` ends the stream after the current records."""

    active_only: bool = False
    ref: str = ""
    early_exit: bool = False
    filter: tuple[str, ...] = ()
    limit: int = 0


class IndexedDescriptor(NamedTuple):
    """An entry of a map with numbers as keys: a map is encoded as its entries."""

    number: int = 0
    descriptor: Descriptor | None = None


class BuildResultInfo(NamedTuple):
    result_deprecated: Descriptor | None = None
    attestations: tuple[Descriptor, ...] = ()
    results: tuple[IndexedDescriptor, ...] = ()


class BuildHistoryRecord(NamedTuple):
    """The record of a build. The fields from `cache_imports` on are lamina's extensions (numbers
    from 1000 on).

    `context_path` and `dockerfile_path` are of the client's machine, "" if they are not local.
    """

    ref: str = ""
    frontend: str = ""
    frontend_attrs: tuple[tuple[str, str], ...] = ()
    exporters: tuple[Exporter, ...] = ()
    error: Status | None = None
    created_at: Timestamp | None = None
    completed_at: Timestamp | None = None
    logs: Descriptor | None = None
    exporter_response: tuple[tuple[str, str], ...] = ()
    result: BuildResultInfo | None = None
    results: tuple[tuple[str, BuildResultInfo], ...] = ()
    generation: int = 0
    trace: Descriptor | None = None
    pinned: bool = False
    num_cached_steps: int = 0
    num_total_steps: int = 0
    num_completed_steps: int = 0
    external_error: Descriptor | None = None
    num_warnings: int = 0
    cache_imports: tuple[CacheOptionsEntry, ...] = ()
    cache_exports: tuple[CacheOptionsEntry, ...] = ()
    context_path: str = ""
    dockerfile_path: str = ""


class BuildHistoryEvent(NamedTuple):
    type: BuildHistoryEventType = BuildHistoryEventType.STARTED
    record: BuildHistoryRecord | None = None


class UpdateBuildHistoryRequest(NamedTuple):
    ref: str = ""
    pinned: bool = False
    delete: bool = False
    finalize: bool = False


class UpdateBuildHistoryResponse(NamedTuple):
    pass


SCHEMA: Schema = (
    outputs.SCHEMA
    | timestamp.SCHEMA
    | descriptor.SCHEMA
    | status.SCHEMA
    | {
        BuildHistoryRequest: (
            boolean(1, "active_only"),
            string(2, "ref"),
            boolean(3, "early_exit"),
            strings(4, "filter"),
            integer(5, "limit"),
        ),
        IndexedDescriptor: (integer(1, "number"), one(2, "descriptor", Descriptor)),
        BuildResultInfo: (
            one(1, "result_deprecated", Descriptor),
            many(2, "attestations", Descriptor),
            many(3, "results", IndexedDescriptor),
        ),
        BuildHistoryRecord: (
            string(1, "ref"),
            string(2, "frontend"),
            mapping(3, "frontend_attrs"),
            many(4, "exporters", Exporter),
            one(5, "error", Status),
            one(6, "created_at", Timestamp),
            one(7, "completed_at", Timestamp),
            one(8, "logs", Descriptor),
            mapping(9, "exporter_response"),
            one(10, "result", BuildResultInfo),
            mapping(11, "results", Kind.MESSAGE, BuildResultInfo),
            integer(12, "generation"),
            one(13, "trace", Descriptor),
            boolean(14, "pinned"),
            integer(15, "num_cached_steps"),
            integer(16, "num_total_steps"),
            integer(17, "num_completed_steps"),
            one(18, "external_error", Descriptor),
            integer(19, "num_warnings"),
            many(1000, "cache_imports", CacheOptionsEntry),
            many(1001, "cache_exports", CacheOptionsEntry),
            string(1002, "context_path"),
            string(1003, "dockerfile_path"),
        ),
        BuildHistoryEvent: (
            integer(1, "type", BuildHistoryEventType),
            one(2, "record", BuildHistoryRecord),
        ),
        UpdateBuildHistoryRequest: (
            string(1, "ref"),
            boolean(2, "pinned"),
            boolean(3, "delete"),
            boolean(4, "finalize"),
        ),
        UpdateBuildHistoryResponse: (),
    }
)
