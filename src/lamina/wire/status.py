"""Converts statuses of calls to header fields and back (grpc `PROTOCOL-HTTP2.md`,
`statuscodes.md`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import (
    AlreadyExists,
    Cancelled,
    Corrupt,
    Exhausted,
    Internal,
    InvalidInput,
    LaminaError,
    NotFound,
    PermissionDenied,
    Unavailable,
    Unsupported,
)
from lamina.base.named_tuple import NamedTuple
from lamina.wire.contract import Code, Detail, StatusError
from lamina.wire.frames import ErrorCode
from lamina.wire.metadata import decode_binary, encode_binary
from lamina.wire.protobuf import Field, Kind, Label, Schema, decode, encode

if TYPE_CHECKING:
    from lamina.wire.headers import Fields
    from lamina.wire.stream import StreamEnded


class _Status(NamedTuple):
    """`google.rpc.Status`."""

    code: int = 0
    message: str = ""
    details: tuple[_Any, ...] = ()


class _Any(NamedTuple):
    """`google.protobuf.Any`."""

    type_url: str = ""
    value: bytes = b""


_SCHEMA: Schema = {
    _Status: (
        Field(1, "code", Kind.INT),
        Field(2, "message", Kind.STRING),
        Field(3, "details", Kind.MESSAGE, Label.REPEATED, _Any),
    ),
    _Any: (Field(1, "type_url", Kind.STRING), Field(2, "value", Kind.BYTES)),
}

# The code for an HTTP status without a grpc-status (grpc `http-grpc-status-mapping.md`).
_FROM_HTTP = {
    b"400": Code.INTERNAL,
    b"401": Code.UNAUTHENTICATED,
    b"403": Code.PERMISSION_DENIED,
    b"404": Code.UNIMPLEMENTED,
    b"429": Code.UNAVAILABLE,
    b"502": Code.UNAVAILABLE,
    b"503": Code.UNAVAILABLE,
    b"504": Code.UNAVAILABLE,
}
_FROM_RESET = {
    ErrorCode.REFUSED_STREAM: Code.UNAVAILABLE,
    ErrorCode.CANCEL: Code.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: Code.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: Code.PERMISSION_DENIED,
}
_CODES: dict[type[LaminaError], Code] = {
    InvalidInput: Code.INVALID_ARGUMENT,
    NotFound: Code.NOT_FOUND,
    AlreadyExists: Code.ALREADY_EXISTS,
    PermissionDenied: Code.PERMISSION_DENIED,
    Unavailable: Code.UNAVAILABLE,
    Exhausted: Code.RESOURCE_EXHAUSTED,
    Corrupt: Code.DATA_LOSS,
    Unsupported: Code.UNIMPLEMENTED,
    Cancelled: Code.CANCELLED,
    Internal: Code.INTERNAL,
}
_KINDS: dict[Code, type[LaminaError]] = {
    **{code: kind for kind, code in _CODES.items()},
    Code.DEADLINE_EXCEEDED: Unavailable,
    Code.FAILED_PRECONDITION: InvalidInput,
    Code.ABORTED: Unavailable,
    Code.OUT_OF_RANGE: InvalidInput,
    Code.UNAUTHENTICATED: PermissionDenied,
}


def kind_of(code: Code) -> type[LaminaError]:
    """The class of errors for a code; LaminaError if there is no specific one."""
    return _KINDS.get(code, LaminaError)


def code_of(kind: type[LaminaError]) -> Code:
    """The code for an error; UNKNOWN if gRPC has none for it."""
    return next((_CODES[one] for one in kind.__mro__ if one in _CODES), Code.UNKNOWN)


def status_fields(code: Code, message: str = "", details: tuple[Detail, ...] = ()) -> Fields:
    """A status as trailers."""
    fields = [(b"grpc-status", b"%d" % code)]
    if message:
        fields.append((b"grpc-message", _escape(message)))
    if details:
        status = _Status(code, message, tuple(_Any(*detail) for detail in details))
        fields.append((b"grpc-status-details-bin", encode_binary(encode(status, _SCHEMA))))
    return fields


def read_status(fields: Fields) -> StatusError | None:
    """The status in trailers (or in a response without a body); None is OK."""
    values = dict(fields)
    number = values.get(b"grpc-status")
    if number is None:
        http = values.get(b":status", b"")
        code = _FROM_HTTP.get(http, Code.UNKNOWN)
        said = f"HTTP {http.decode('ascii', 'replace')}" if http else "the end"
        return StatusError(code, f"{said} without a grpc-status")
    try:
        code = Code(int(number))
    except ValueError:
        code = Code.UNKNOWN
    if code is Code.OK:
        return None
    message = _unescape(values.get(b"grpc-message", b""))
    return StatusError(code, message, _read_details(values.get(b"grpc-status-details-bin")))


def _read_details(value: bytes | None) -> tuple[Detail, ...]:
    if value is None:
        return ()
    try:
        status: _Status = decode(decode_binary(value), _Status, _SCHEMA)
    except (Corrupt, StatusError):
        return ()  # the status counts, even if its details are malformed
    return tuple(Detail(*item) for item in status.details)


def from_fault(fault: StreamEnded) -> StatusError:
    """The client's status of a call whose stream ended without one."""
    if fault.code is None:
        return StatusError(Code.UNAVAILABLE, fault.reason)
    if not fault.remote or fault.code == ErrorCode.NO_ERROR:
        return StatusError(Code.CANCELLED, fault.reason)
    try:
        error = ErrorCode(fault.code)
    except ValueError:
        return StatusError(Code.UNKNOWN, f"{fault.reason} (error {fault.code})")
    return StatusError(_FROM_RESET.get(error, Code.INTERNAL), f"{fault.reason} ({error.name})")


def from_error(error: LaminaError) -> StatusError:
    """The status of a handler that raised a LaminaError."""
    return StatusError(code_of(type(error)), error.reason)


def _escape(message: str) -> bytes:
    return b"".join(
        b"%c" % byte if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte
        for byte in message.encode("utf-8", "surrogateescape")
    )


def _unescape(value: bytes) -> str:
    """Undo percent-encoding. Invalid escapes stay as they are."""
    first, *parts = value.split(b"%")
    out = bytearray(first)
    for part in parts:
        try:
            out += bytes.fromhex(part[:2].decode("ascii")) if len(part) >= 2 else b"%" + part
            out += part[2:]
        except ValueError:
            out += b"%" + part
    return out.decode("utf-8", "replace")


_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def read_timeout(value: bytes) -> float:
    """The seconds of a `grpc-timeout`. Raises ValueError."""
    text = value.decode("ascii")
    if not 2 <= len(text) <= 9 or not text[:-1].isdigit() or text[-1] not in _UNITS:
        raise ValueError(f"a timeout of {text!r}")
    return int(text[:-1]) * _UNITS[text[-1]]
