"""`google.rpc.Status`: the status of a call, as a message in other messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.wire.contract import Code, Detail, StatusError
from lamina.wire.fields import data, integer, many, string

if TYPE_CHECKING:
    from lamina.wire.protobuf import Schema


class Any(NamedTuple):
    """`google.protobuf.Any`: an encoded message and the URL of its type."""

    type_url: str = ""
    value: bytes = b""


class Status(NamedTuple):
    """A status. `code` is a number of `lamina.wire.contract.Code`, or an unknown one."""

    code: int = 0
    message: str = ""
    details: tuple[Any, ...] = ()


SCHEMA: Schema = {
    Any: (string(1, "type_url"), data(2, "value")),
    Status: (integer(1, "code"), string(2, "message"), many(3, "details", Any)),
}


def status_of(error: StatusError) -> Status:
    """The status of a call, as a message."""
    details = tuple(Any(detail.type_url, detail.value) for detail in error.details)
    return Status(int(error.code), error.message, details)


def error_of(status: Status) -> StatusError:
    """The error of a message; an unknown code is UNKNOWN."""
    try:
        code = Code(status.code)
    except ValueError:
        code = Code.UNKNOWN
    details = tuple(Detail(detail.type_url, detail.value) for detail in status.details)
    return StatusError(code, status.message, details)
