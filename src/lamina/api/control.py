"""`moby.buildkit.v1.Control`: builds, their progress, sessions, disk usage.

History is in `history.py`. Facts from BuildKit's `api/services/control/control.proto`; members
that it calls deprecated are kept, for old clients still set them.
"""

from __future__ import annotations

from lamina.api import sourcepolicy, timestamp, worker
from lamina.api.sourcepolicy import Policy
from lamina.api.timestamp import Timestamp
from lamina.api.worker import BuildkitVersion, WorkerRecord
from lamina.base.named_tuple import NamedTuple
from lamina.llb.op import Definition, OpProgressGroup, Range, SourceInfo
from lamina.wire.fields import (
    boolean,
    data,
    datas,
    integer,
    many,
    mapping,
    one,
    string,
    strings,
)
from lamina.wire.protobuf import Kind, Schema

SERVICE = "moby.buildkit.v1.Control"
DISK_USAGE = f"/{SERVICE}/DiskUsage"
PRUNE = f"/{SERVICE}/Prune"
SOLVE = f"/{SERVICE}/Solve"
STATUS = f"/{SERVICE}/Status"
SESSION = f"/{SERVICE}/Session"
LIST_WORKERS = f"/{SERVICE}/ListWorkers"
INFO = f"/{SERVICE}/Info"


class PruneRequest(NamedTuple):
    """Durations in nanoseconds, spaces in bytes."""

    filter: tuple[str, ...] = ()
    all: bool = False
    keep_duration: int = 0
    reserved_space: int = 0
    max_used_space: int = 0
    min_free_space: int = 0


class DiskUsageRequest(NamedTuple):
    filter: tuple[str, ...] = ()
    age_limit: int = 0


class UsageRecord(NamedTuple):
    """One piece of the cache; `size` in bytes. `record_type` is `regular`, `source.local`, …"""

    id: str = ""
    mutable: bool = False
    in_use: bool = False
    size: int = 0
    parent: str = ""
    created_at: Timestamp | None = None
    last_used_at: Timestamp | None = None
    usage_count: int = 0
    description: str = ""
    record_type: str = ""
    shared: bool = False
    parents: tuple[str, ...] = ()


class DiskUsageResponse(NamedTuple):
    record: tuple[UsageRecord, ...] = ()


class CacheOptionsEntry(NamedTuple):
    """`type` is `registry`, `local`, `inline`, …"""

    type: str = ""
    attrs: tuple[tuple[str, str], ...] = ()


class CacheOptions(NamedTuple):
    export_ref_deprecated: str = ""
    import_refs_deprecated: tuple[str, ...] = ()
    export_attrs_deprecated: tuple[tuple[str, str], ...] = ()
    exports: tuple[CacheOptionsEntry, ...] = ()
    imports: tuple[CacheOptionsEntry, ...] = ()


class Exporter(NamedTuple):
    """One output; a session's files know it by its place in the request, as a number."""

    type: str = ""
    attrs: tuple[tuple[str, str], ...] = ()


class SolveRequest(NamedTuple):
    """A build: of a `definition`, or of what `frontend` makes of attributes and inputs."""

    ref: str = ""
    definition: Definition | None = None
    exporter_deprecated: str = ""
    exporter_attrs_deprecated: tuple[tuple[str, str], ...] = ()
    session: str = ""
    frontend: str = ""
    frontend_attrs: tuple[tuple[str, str], ...] = ()
    cache: CacheOptions | None = None
    entitlements: tuple[str, ...] = ()
    frontend_inputs: tuple[tuple[str, Definition], ...] = ()
    internal: bool = False
    source_policy: Policy | None = None
    exporters: tuple[Exporter, ...] = ()
    enable_session_exporter: bool = False
    source_policy_session: str = ""
    compatibility_version: int = 0
    proxy_network: bool = False


class SolveResponse(NamedTuple):
    exporter_response: tuple[tuple[str, str], ...] = ()


class StatusRequest(NamedTuple):
    ref: str = ""


class Vertex(NamedTuple):
    """A step as progress shows it. Sent again whenever something of it changes."""

    digest: str = ""
    inputs: tuple[str, ...] = ()
    name: str = ""
    cached: bool = False
    started: Timestamp | None = None
    completed: Timestamp | None = None
    error: str = ""
    progress_group: OpProgressGroup | None = None


class VertexStatus(NamedTuple):
    """A part of a step's work: `current` of `total`, in bytes mostly; 0 when not known."""

    id: str = ""
    vertex: str = ""
    name: str = ""
    current: int = 0
    total: int = 0
    timestamp: Timestamp | None = None
    started: Timestamp | None = None
    completed: Timestamp | None = None


class VertexLog(NamedTuple):
    """Output of a step's command; `stream` is 1 or 2."""

    vertex: str = ""
    timestamp: Timestamp | None = None
    stream: int = 0
    msg: bytes = b""


class VertexWarning(NamedTuple):
    vertex: str = ""
    level: int = 0
    short: bytes = b""
    detail: tuple[bytes, ...] = ()
    url: str = ""
    info: SourceInfo | None = None
    ranges: tuple[Range, ...] = ()


class StatusResponse(NamedTuple):
    vertexes: tuple[Vertex, ...] = ()
    statuses: tuple[VertexStatus, ...] = ()
    logs: tuple[VertexLog, ...] = ()
    warnings: tuple[VertexWarning, ...] = ()


class ListWorkersRequest(NamedTuple):
    filter: tuple[str, ...] = ()


class ListWorkersResponse(NamedTuple):
    record: tuple[WorkerRecord, ...] = ()


class InfoRequest(NamedTuple):
    pass


class InfoResponse(NamedTuple):
    buildkit_version: BuildkitVersion | None = None


SCHEMA: Schema = (
    worker.SCHEMA
    | sourcepolicy.SCHEMA
    | timestamp.SCHEMA
    | {
        PruneRequest: (
            strings(1, "filter"),
            boolean(2, "all"),
            integer(3, "keep_duration"),
            integer(4, "reserved_space"),
            integer(5, "max_used_space"),
            integer(6, "min_free_space"),
        ),
        DiskUsageRequest: (strings(1, "filter"), integer(2, "age_limit")),
        UsageRecord: (
            string(1, "id"),
            boolean(2, "mutable"),
            boolean(3, "in_use"),
            integer(4, "size"),
            string(5, "parent"),
            one(6, "created_at", Timestamp),
            one(7, "last_used_at", Timestamp),
            integer(8, "usage_count"),
            string(9, "description"),
            string(10, "record_type"),
            boolean(11, "shared"),
            strings(12, "parents"),
        ),
        DiskUsageResponse: (many(1, "record", UsageRecord),),
        CacheOptionsEntry: (string(1, "type"), mapping(2, "attrs")),
        CacheOptions: (
            string(1, "export_ref_deprecated"),
            strings(2, "import_refs_deprecated"),
            mapping(3, "export_attrs_deprecated"),
            many(4, "exports", CacheOptionsEntry),
            many(5, "imports", CacheOptionsEntry),
        ),
        Exporter: (string(1, "type"), mapping(2, "attrs")),
        SolveRequest: (
            string(1, "ref"),
            one(2, "definition", Definition),
            string(3, "exporter_deprecated"),
            mapping(4, "exporter_attrs_deprecated"),
            string(5, "session"),
            string(6, "frontend"),
            mapping(7, "frontend_attrs"),
            one(8, "cache", CacheOptions),
            strings(9, "entitlements"),
            mapping(10, "frontend_inputs", Kind.MESSAGE, Definition),
            boolean(11, "internal"),
            one(12, "source_policy", Policy),
            many(13, "exporters", Exporter),
            boolean(14, "enable_session_exporter"),
            string(15, "source_policy_session"),
            integer(16, "compatibility_version"),
            boolean(17, "proxy_network"),
        ),
        SolveResponse: (mapping(1, "exporter_response"),),
        StatusRequest: (string(1, "ref"),),
        Vertex: (
            string(1, "digest"),
            strings(2, "inputs"),
            string(3, "name"),
            boolean(4, "cached"),
            one(5, "started", Timestamp),
            one(6, "completed", Timestamp),
            string(7, "error"),
            one(8, "progress_group", OpProgressGroup),
        ),
        VertexStatus: (
            string(1, "id"),
            string(2, "vertex"),
            string(3, "name"),
            integer(4, "current"),
            integer(5, "total"),
            one(6, "timestamp", Timestamp),
            one(7, "started", Timestamp),
            one(8, "completed", Timestamp),
        ),
        VertexLog: (
            string(1, "vertex"),
            one(2, "timestamp", Timestamp),
            integer(3, "stream"),
            data(4, "msg"),
        ),
        VertexWarning: (
            string(1, "vertex"),
            integer(2, "level"),
            data(3, "short"),
            datas(4, "detail"),
            string(5, "url"),
            one(6, "info", SourceInfo),
            many(7, "ranges", Range),
        ),
        StatusResponse: (
            many(1, "vertexes", Vertex),
            many(2, "statuses", VertexStatus),
            many(3, "logs", VertexLog),
            many(4, "warnings", VertexWarning),
        ),
        ListWorkersRequest: (strings(1, "filter"),),
        ListWorkersResponse: (many(1, "record", WorkerRecord),),
        InfoRequest: (),
        InfoResponse: (one(1, "buildkit_version", BuildkitVersion),),
    }
)
