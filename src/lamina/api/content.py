"""`containerd.services.content.v1.Content`: a peer's content store.

In a session the metadata `KEY_STORE` selects one of the client's stores.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from lamina.api import timestamp
from lamina.api.timestamp import Timestamp
from lamina.base.named_tuple import NamedTuple
from lamina.wire.fields import data, integer, many, mapping, one, string, strings

if TYPE_CHECKING:
    from lamina.wire.protobuf import Schema

SERVICE = "containerd.services.content.v1.Content"
INFO = f"/{SERVICE}/Info"
UPDATE = f"/{SERVICE}/Update"
LIST = f"/{SERVICE}/List"
DELETE = f"/{SERVICE}/Delete"
READ = f"/{SERVICE}/Read"
STATUS = f"/{SERVICE}/Status"
LIST_STATUSES = f"/{SERVICE}/ListStatuses"
WRITE = f"/{SERVICE}/Write"
ABORT = f"/{SERVICE}/Abort"
KEY_STORE = "buildkit-attachable-store-id"


class Info(NamedTuple):
    """A complete blob; `size` in bytes."""

    digest: str = ""
    size: int = 0
    created_at: Timestamp | None = None
    updated_at: Timestamp | None = None
    labels: tuple[tuple[str, str], ...] = ()


class InfoRequest(NamedTuple):
    digest: str = ""


class InfoResponse(NamedTuple):
    info: Info | None = None


class FieldMask(NamedTuple):
    """`google.protobuf.FieldMask`: the members of a message to update."""

    paths: tuple[str, ...] = ()


class UpdateRequest(NamedTuple):
    info: Info | None = None
    update_mask: FieldMask | None = None


class UpdateResponse(NamedTuple):
    info: Info | None = None


class ListContentRequest(NamedTuple):
    filters: tuple[str, ...] = ()


class ListContentResponse(NamedTuple):
    info: tuple[Info, ...] = ()


class DeleteContentRequest(NamedTuple):
    digest: str = ""


class Empty(NamedTuple):
    """`google.protobuf.Empty`."""


class ReadContentRequest(NamedTuple):
    """`size` 0 reads to the end."""

    digest: str = ""
    offset: int = 0
    size: int = 0


class ReadContentResponse(NamedTuple):
    offset: int = 0
    data: bytes = b""


class Status(NamedTuple):
    """A blob that is being written under the name `ref`, with `offset` bytes so far."""

    started_at: Timestamp | None = None
    updated_at: Timestamp | None = None
    ref: str = ""
    offset: int = 0
    total: int = 0
    expected: str = ""


class StatusRequest(NamedTuple):
    ref: str = ""


class StatusResponse(NamedTuple):
    status: Status | None = None


class ListStatusesRequest(NamedTuple):
    filters: tuple[str, ...] = ()


class ListStatusesResponse(NamedTuple):
    statuses: tuple[Status, ...] = ()


class WriteAction(IntEnum):
    STAT = 0
    WRITE = 1
    COMMIT = 2


class WriteContentRequest(NamedTuple):
    """`total` and `expected` (a digest) are what COMMIT checks against, if they are set."""

    action: WriteAction = WriteAction.STAT
    ref: str = ""
    total: int = 0
    expected: str = ""
    offset: int = 0
    data: bytes = b""
    labels: tuple[tuple[str, str], ...] = ()


class WriteContentResponse(NamedTuple):
    action: WriteAction = WriteAction.STAT
    started_at: Timestamp | None = None
    updated_at: Timestamp | None = None
    offset: int = 0
    total: int = 0
    digest: str = ""


class AbortRequest(NamedTuple):
    ref: str = ""


SCHEMA: Schema = timestamp.SCHEMA | {
    Info: (
        string(1, "digest"),
        integer(2, "size"),
        one(3, "created_at", Timestamp),
        one(4, "updated_at", Timestamp),
        mapping(5, "labels"),
    ),
    InfoRequest: (string(1, "digest"),),
    InfoResponse: (one(1, "info", Info),),
    FieldMask: (strings(1, "paths"),),
    UpdateRequest: (one(1, "info", Info), one(2, "update_mask", FieldMask)),
    UpdateResponse: (one(1, "info", Info),),
    ListContentRequest: (strings(1, "filters"),),
    ListContentResponse: (many(1, "info", Info),),
    DeleteContentRequest: (string(1, "digest"),),
    Empty: (),
    ReadContentRequest: (string(1, "digest"), integer(2, "offset"), integer(3, "size")),
    ReadContentResponse: (integer(1, "offset"), data(2, "data")),
    Status: (
        one(1, "started_at", Timestamp),
        one(2, "updated_at", Timestamp),
        string(3, "ref"),
        integer(4, "offset"),
        integer(5, "total"),
        string(6, "expected"),
    ),
    StatusRequest: (string(1, "ref"),),
    StatusResponse: (one(1, "status", Status),),
    ListStatusesRequest: (strings(1, "filters"),),
    ListStatusesResponse: (many(1, "statuses", Status),),
    WriteContentRequest: (
        integer(1, "action", WriteAction),
        string(2, "ref"),
        integer(3, "total"),
        string(4, "expected"),
        integer(5, "offset"),
        data(6, "data"),
        mapping(7, "labels"),
    ),
    WriteContentResponse: (
        integer(1, "action", WriteAction),
        one(2, "started_at", Timestamp),
        one(3, "updated_at", Timestamp),
        integer(4, "offset"),
        integer(5, "total"),
        string(6, "digest"),
    ),
    AbortRequest: (string(1, "ref"),),
}
