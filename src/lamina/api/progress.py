"""The progress of a build: `StatusResponse` of `moby.buildkit.v1.Control`, and lamina's extensions.

Facts from BuildKit's `api/services/control/control.proto`. The fields from 1000 on are lamina's
own; other clients skip them as unknown fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.api import timestamp
from lamina.api.timestamp import Timestamp
from lamina.base.named_tuple import NamedTuple
from lamina.base.resources import ResourceUsage
from lamina.llb.codec import SCHEMA as LLB
from lamina.llb.op import OpProgressGroup, Range, SourceInfo
from lamina.solver.lookup import CacheLookup, KeyPart
from lamina.wire.fields import (
    boolean,
    data,
    datas,
    integer,
    many,
    one,
    optional_integer,
    string,
    strings,
)

if TYPE_CHECKING:
    from lamina.wire.protobuf import Schema


class Vertex(NamedTuple):
    """A step in the progress. Sent again whenever it changes."""

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


class RedactedOp(NamedTuple):
    """An operation is recorded without credentials: its digest, and that of what is recorded."""

    digest: str = ""
    recorded: str = ""


class VertexReason(NamedTuple):
    """Why a step missed the cache, in one line."""

    vertex: str = ""
    text: str = ""


class VertexResources(NamedTuple):
    """The resource usage of a step's command."""

    vertex: str = ""
    usage: ResourceUsage | None = None


class StatusResponse(NamedTuple):
    """`definitions` are the digests of the LLB definitions that the build solves, as blobs of the
    store, and `redacted` the operations that have another digest there; `lookups` say how vertices
    were looked up in the caches, and `reasons` why they missed them; `resources` say what
    commands used."""

    vertexes: tuple[Vertex, ...] = ()
    statuses: tuple[VertexStatus, ...] = ()
    logs: tuple[VertexLog, ...] = ()
    warnings: tuple[VertexWarning, ...] = ()
    lookups: tuple[CacheLookup, ...] = ()
    definitions: tuple[str, ...] = ()
    redacted: tuple[RedactedOp, ...] = ()
    reasons: tuple[VertexReason, ...] = ()
    resources: tuple[VertexResources, ...] = ()


SCHEMA: Schema = (
    LLB
    | timestamp.SCHEMA
    | {
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
            many(1000, "lookups", CacheLookup),
            strings(1001, "definitions"),
            many(1002, "redacted", RedactedOp),
            many(1003, "reasons", VertexReason),
            many(1004, "resources", VertexResources),
        ),
        VertexReason: (string(1, "vertex"), string(2, "text")),
        VertexResources: (string(1, "vertex"), one(2, "usage", ResourceUsage)),
        ResourceUsage: (
            optional_integer(1, "cpu_time"),
            optional_integer(2, "peak_memory"),
            optional_integer(3, "bytes_read"),
            optional_integer(4, "bytes_written"),
            optional_integer(5, "bytes_sent"),
            optional_integer(6, "bytes_received"),
        ),
        RedactedOp: (string(1, "digest"), string(2, "recorded")),
        KeyPart: (
            string(1, "vertex"),
            integer(2, "output"),
            string(3, "selector"),
            string(4, "digest"),
            boolean(5, "by_content"),
        ),
        CacheLookup: (
            string(1, "vertex"),
            string(2, "key"),
            string(3, "operation"),
            string(4, "unexported"),
            many(5, "parts", KeyPart),
            boolean(6, "hit"),
            boolean(7, "recorded"),
            boolean(8, "ignored"),
            boolean(9, "ephemeral"),
            string(10, "origin"),
            string(11, "resolved"),
        ),
    }
)
