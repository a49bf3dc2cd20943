"""`moby.buildkit.v1.Control`: builds, sessions, disk usage.

Progress is in `progress.py`, history in `history.py`. Facts from BuildKit's
`api/services/control/control.proto`; members that it calls deprecated are kept, because old
clients still set them.
"""

from __future__ import annotations

from lamina.api import outputs, progress, sourcepolicy, worker
from lamina.api.outputs import CacheOptionsEntry as CacheOptionsEntry
from lamina.api.outputs import Exporter as Exporter
from lamina.api.sourcepolicy import Policy
from lamina.api.timestamp import Timestamp
from lamina.api.worker import BuildkitVersion, WorkerRecord
from lamina.base.named_tuple import NamedTuple
from lamina.llb.op import Definition
from lamina.wire.fields import (
    boolean,
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
    """A request to prune. Durations are in nanoseconds, sizes in bytes."""

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
    """One cache record; `size` in bytes. `record_type` is `regular`, `source.local`, …"""

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


class CacheOptions(NamedTuple):
    export_ref_deprecated: str = ""
    import_refs_deprecated: tuple[str, ...] = ()
    export_attrs_deprecated: tuple[tuple[str, str], ...] = ()
    exports: tuple[CacheOptionsEntry, ...] = ()
    imports: tuple[CacheOptionsEntry, ...] = ()


class SolveRequest(NamedTuple):
    """A build of a `definition`, or of the result of `frontend` with attributes and inputs."""

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
    | progress.SCHEMA
    | outputs.SCHEMA
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
        CacheOptions: (
            string(1, "export_ref_deprecated"),
            strings(2, "import_refs_deprecated"),
            mapping(3, "export_attrs_deprecated"),
            many(4, "exports", CacheOptionsEntry),
            many(5, "imports", CacheOptionsEntry),
        ),
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
        ListWorkersRequest: (strings(1, "filter"),),
        ListWorkersResponse: (many(1, "record", WorkerRecord),),
        InfoRequest: (),
        InfoResponse: (one(1, "buildkit_version", BuildkitVersion),),
    }
)
