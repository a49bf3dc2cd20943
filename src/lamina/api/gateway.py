"""`moby.buildkit.v1.frontend.LLBBridge`: the requests of a frontend to its build.

Facts from BuildKit's `frontend/gateway/pb/gateway.proto`. The messages about sources are in
`sourcemeta.py`, those about containers in `container.py`; `SCHEMA` here contains all.
"""

from __future__ import annotations

from enum import IntEnum

from lamina.api import caps, container, filesync, sourcemeta, worker
from lamina.api.caps import APICap
from lamina.api.control import CacheOptionsEntry
from lamina.api.filesync import Stat
from lamina.api.sourcepolicy import Policy
from lamina.api.status import Status
from lamina.api.worker import WorkerRecord
from lamina.base.named_tuple import NamedTuple
from lamina.llb.op import Definition, Range, SourceInfo
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
from lamina.wire.protobuf import Field, Kind, Label, Schema

SERVICE = "moby.buildkit.v1.frontend.LLBBridge"
RESOLVE_IMAGE_CONFIG = f"/{SERVICE}/ResolveImageConfig"
RESOLVE_SOURCE_META = f"/{SERVICE}/ResolveSourceMeta"
SOLVE = f"/{SERVICE}/Solve"
READ_FILE = f"/{SERVICE}/ReadFile"
READ_DIR = f"/{SERVICE}/ReadDir"
STAT_FILE = f"/{SERVICE}/StatFile"
EVALUATE = f"/{SERVICE}/Evaluate"
PING = f"/{SERVICE}/Ping"
RETURN = f"/{SERVICE}/Return"
INPUTS = f"/{SERVICE}/Inputs"
NEW_CONTAINER = f"/{SERVICE}/NewContainer"
RELEASE_CONTAINER = f"/{SERVICE}/ReleaseContainer"
EXEC_PROCESS = f"/{SERVICE}/ExecProcess"
READ_FILE_CONTAINER = f"/{SERVICE}/ReadFileContainer"
READ_DIR_CONTAINER = f"/{SERVICE}/ReadDirContainer"
STAT_FILE_CONTAINER = f"/{SERVICE}/StatFileContainer"
WARN = f"/{SERVICE}/Warn"


class Ref(NamedTuple):
    """A result by the ID from the bridge, and its definition."""

    id: str = ""
    definition: Definition | None = None


class RefMap(NamedTuple):
    refs: tuple[tuple[str, Ref], ...] = ()


class RefMapDeprecated(NamedTuple):
    refs: tuple[tuple[str, str], ...] = ()


class AttestationKind(IntEnum):
    IN_TOTO = 0
    BUNDLE = 1


class InTotoSubjectKind(IntEnum):
    SELF = 0
    RAW = 1


class InTotoSubject(NamedTuple):
    kind: InTotoSubjectKind = InTotoSubjectKind.SELF
    digest: tuple[str, ...] = ()
    name: str = ""


class Attestation(NamedTuple):
    kind: AttestationKind = AttestationKind.IN_TOTO
    metadata: tuple[tuple[str, bytes], ...] = ()
    ref: Ref | None = None
    path: str = ""
    in_toto_predicate_type: str = ""
    in_toto_subjects: tuple[InTotoSubject, ...] = ()


class Attestations(NamedTuple):
    attestation: tuple[Attestation, ...] = ()


class Result(NamedTuple):
    """The result of a frontend: one ref, or several by platform; at most one of the four is set.

    A `ref` with an empty ID is an empty file system.
    """

    ref_deprecated: str | None = None
    refs_deprecated: RefMapDeprecated | None = None
    ref: Ref | None = None
    refs: RefMap | None = None
    metadata: tuple[tuple[str, bytes], ...] = ()
    attestations: tuple[tuple[str, Attestations], ...] = ()


class ReturnRequest(NamedTuple):
    result: Result | None = None
    error: Status | None = None


class ReturnResponse(NamedTuple):
    pass


class InputsRequest(NamedTuple):
    pass


class InputsResponse(NamedTuple):
    definitions: tuple[tuple[str, Definition], ...] = ()


class SolveRequest(NamedTuple):
    definition: Definition | None = None
    frontend: str = ""
    frontend_opt: tuple[tuple[str, str], ...] = ()
    allow_result_return: bool = False
    allow_result_array_ref: bool = False
    final: bool = False
    exporter_attr: bytes = b""
    cache_imports: tuple[CacheOptionsEntry, ...] = ()
    frontend_inputs: tuple[tuple[str, Definition], ...] = ()
    evaluate: bool = False
    source_policies: tuple[Policy, ...] = ()


class SolveResponse(NamedTuple):
    """`ref` for frontends that do not `allow_result_return`."""

    ref: str = ""
    result: Result | None = None


class FileRange(NamedTuple):
    offset: int = 0
    length: int = 0


class ReadFileRequest(NamedTuple):
    """A request to read a file. In a container `ref` is its ID and `mount_index` the index of the
    mount."""

    ref: str = ""
    file_path: str = ""
    range: FileRange | None = None
    mount_index: int = 0


class ReadFileResponse(NamedTuple):
    data: bytes = b""


class ReadDirRequest(NamedTuple):
    ref: str = ""
    dir_path: str = ""
    include_pattern: str = ""
    mount_index: int = 0


class ReadDirResponse(NamedTuple):
    entries: tuple[Stat, ...] = ()


class StatFileRequest(NamedTuple):
    ref: str = ""
    path: str = ""
    mount_index: int = 0


class StatFileResponse(NamedTuple):
    stat: Stat | None = None


class EvaluateRequest(NamedTuple):
    ref: str = ""


class EvaluateResponse(NamedTuple):
    pass


class PingRequest(NamedTuple):
    pass


class PongResponse(NamedTuple):
    frontend_api_caps: tuple[APICap, ...] = ()
    llb_caps: tuple[APICap, ...] = ()
    workers: tuple[WorkerRecord, ...] = ()


class WarnRequest(NamedTuple):
    digest: str = ""
    level: int = 0
    short: bytes = b""
    detail: tuple[bytes, ...] = ()
    url: str = ""
    info: SourceInfo | None = None
    ranges: tuple[Range, ...] = ()


class WarnResponse(NamedTuple):
    pass


SCHEMA: Schema = (
    worker.SCHEMA
    | caps.SCHEMA
    | filesync.SCHEMA
    | sourcemeta.SCHEMA
    | container.SCHEMA
    | {
        Ref: (string(1, "id"), one(2, "definition", Definition)),
        RefMap: (mapping(1, "refs", Kind.MESSAGE, Ref),),
        RefMapDeprecated: (mapping(1, "refs"),),
        InTotoSubject: (
            integer(1, "kind", InTotoSubjectKind),
            strings(2, "digest"),
            string(3, "name"),
        ),
        Attestation: (
            integer(1, "kind", AttestationKind),
            mapping(2, "metadata", Kind.BYTES),
            one(3, "ref", Ref),
            string(4, "path"),
            string(5, "in_toto_predicate_type"),
            many(6, "in_toto_subjects", InTotoSubject),
        ),
        Attestations: (many(1, "attestation", Attestation),),
        Result: (
            Field(1, "ref_deprecated", Kind.STRING, Label.OPTIONAL),
            one(2, "refs_deprecated", RefMapDeprecated),
            one(3, "ref", Ref),
            one(4, "refs", RefMap),
            mapping(10, "metadata", Kind.BYTES),
            mapping(12, "attestations", Kind.MESSAGE, Attestations),
        ),
        ReturnRequest: (one(1, "result", Result), one(2, "error", Status)),
        ReturnResponse: (),
        InputsRequest: (),
        InputsResponse: (mapping(1, "definitions", Kind.MESSAGE, Definition),),
        CacheOptionsEntry: (string(1, "type"), mapping(2, "attrs")),
        SolveRequest: (
            one(1, "definition", Definition),
            string(2, "frontend"),
            mapping(3, "frontend_opt"),
            boolean(5, "allow_result_return"),
            boolean(6, "allow_result_array_ref"),
            boolean(10, "final"),
            data(11, "exporter_attr"),
            many(12, "cache_imports", CacheOptionsEntry),
            mapping(13, "frontend_inputs", Kind.MESSAGE, Definition),
            boolean(14, "evaluate"),
            many(15, "source_policies", Policy),
        ),
        SolveResponse: (string(1, "ref"), one(3, "result", Result)),
        FileRange: (integer(1, "offset"), integer(2, "length")),
        ReadFileRequest: (
            string(1, "ref"),
            string(2, "file_path"),
            one(3, "range", FileRange),
            integer(4, "mount_index"),
        ),
        ReadFileResponse: (data(1, "data"),),
        ReadDirRequest: (
            string(1, "ref"),
            string(2, "dir_path"),
            string(3, "include_pattern"),
            integer(4, "mount_index"),
        ),
        ReadDirResponse: (many(1, "entries", Stat),),
        StatFileRequest: (string(1, "ref"), string(2, "path"), integer(3, "mount_index")),
        StatFileResponse: (one(1, "stat", Stat),),
        EvaluateRequest: (string(1, "ref"),),
        EvaluateResponse: (),
        PingRequest: (),
        PongResponse: (
            many(1, "frontend_api_caps", APICap),
            many(2, "llb_caps", APICap),
            many(3, "workers", WorkerRecord),
        ),
        WarnRequest: (
            string(1, "digest"),
            integer(2, "level"),
            data(3, "short"),
            datas(4, "detail"),
            string(5, "url"),
            one(6, "info", SourceInfo),
            many(7, "ranges", Range),
        ),
        WarnResponse: (),
    }
)
