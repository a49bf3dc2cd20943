"""Calls with messages: functions for callers and handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from lamina.llb.op import Definition
from lamina.wire.contract import Code, StatusError, call_unary
from lamina.wire.protobuf import Schema, decode, encode

if TYPE_CHECKING:
    from lamina.system.cancel import Cancellation
    from lamina.wire.contract import Call, Channel, Metadata, ServerCall

M = TypeVar("M")


def unary(
    channel: Channel,
    method: str,
    request: Any,
    response: type[M],
    schema: Schema,
    *,
    metadata: Metadata = (),
    cancel: Cancellation | None = None,
) -> M:
    """Send one message, and receive one of type `response`. Raises StatusError, Corrupt."""
    encoded = encode(request, schema)
    answer = call_unary(channel, method, encoded, metadata=metadata, cancel=cancel)
    decoded: M = decode(answer, response, schema)
    return decoded


def receive(call: Call, message: type[M], schema: Schema) -> M | None:
    """The next message of a call, None at its end. Raises StatusError, Corrupt."""
    encoded = call.receive()
    if encoded is None:
        return None
    decoded: M = decode(encoded, message, schema)
    return decoded


def request_of(call: ServerCall, message: type[M], schema: Schema) -> M:
    """The only request of a call. Raises StatusError if there is none."""
    request = receive(call, message, schema)
    if request is None:
        raise StatusError(Code.INVALID_ARGUMENT, f"{call.method} was called without a request")
    return request


def text_request_of(call: ServerCall, message: type[M], schema: Schema) -> M:
    """The only request of a call whose texts are recorded, and so must be UTF-8.

    Raises StatusError.
    """
    request = request_of(call, message, schema)
    if not _is_text(request):
        raise StatusError(Code.INVALID_ARGUMENT, f"a request of {call.method} is not UTF-8")
    return request


def _is_text(value: object) -> bool:
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)
    # File names are arbitrary bytes, and definitions may contain some.
    return not isinstance(value, tuple) or type(value) is Definition or all(map(_is_text, value))


def values(metadata: Metadata, name: str) -> list[str]:
    """All values of a metadata name, in order; names are lower-case."""
    return [
        value if isinstance(value, str) else value.decode("utf-8", "replace")
        for key, value in metadata
        if key == name
    ]


def first(metadata: Metadata, name: str) -> str:
    """The first value of a metadata name, or ""."""
    found = values(metadata, name)
    return found[0] if found else ""
