"""Protobuf's wire format, driven by tables: just what LLB and BuildKit's API need.

A library would cost a third of a cached build's whole start-up (`docs/decisions`), and an op's
identity is the hash of its exact bytes, so the encoding must be canonical: fields by number,
zero values left out, map entries sorted by key, as Go's deterministic marshalling does.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, NamedTuple

from lamina.base.errors import Corrupt


class Kind(Enum):
    """How a field's value travels."""

    STRING = auto()
    BYTES = auto()
    INT = auto()  # int32, int64, uint32, uint64 and enums share the varint
    BOOL = auto()
    MESSAGE = auto()


class Label(Enum):
    """How often a field occurs, and what its absence means."""

    PLAIN = auto()  # zero value when absent
    OPTIONAL = auto()  # None when absent (messages, members of a oneof)
    REPEATED = auto()
    MAP = auto()  # string keys; `kind` is the value's


class Field(NamedTuple):
    """One field of a message; `attribute` is the NamedTuple's name for it."""

    number: int
    attribute: str
    kind: Kind
    label: Label = Label.PLAIN
    type: Any = None  # the NamedTuple of a MESSAGE, or the IntEnum of an INT


Schema = dict[type, tuple[Field, ...]]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MASK64 = (1 << 64) - 1
_MAX_DEPTH = 64


def encode(message: Any, schema: Schema) -> bytes:
    """Encode a message value canonically."""
    out = bytearray()
    for field in schema[type(message)]:
        value = getattr(message, field.attribute)
        match field.label:
            case Label.PLAIN:
                if value:
                    _put(out, field.number, field.kind, value, schema)
            case Label.OPTIONAL:
                if value is not None:
                    _put(out, field.number, field.kind, value, schema)
            case Label.REPEATED:
                if field.kind is Kind.INT:
                    if value:  # proto3 packs repeated numbers
                        packed = b"".join(_varint(item) for item in value)
                        _put(out, field.number, Kind.BYTES, packed, schema)
                else:
                    for item in value:
                        _put(out, field.number, field.kind, item, schema)
            case Label.MAP:
                for key, item in sorted(value, key=lambda pair: pair[0].encode()):
                    entry = bytearray()
                    _put(entry, 1, Kind.STRING, key, schema)
                    _put(entry, 2, field.kind, item, schema)
                    _put(out, field.number, Kind.BYTES, bytes(entry), schema)
    return bytes(out)


def decode(data: bytes, message_type: Any, schema: Schema, *, depth: int = 0) -> Any:
    """Decode bytes into a value of `message_type`; unknown fields are skipped. Raises Corrupt."""
    if depth > _MAX_DEPTH:
        raise Corrupt("malformed message: nested too deep")
    fields = {field.number: field for field in schema[message_type]}
    values: dict[str, Any] = {}
    collected: dict[str, list[Any]] = {}
    for number, wire_type, raw in _records(data):
        field = fields.get(number)
        if field is None:
            continue
        if field.label is Label.MAP:
            collected.setdefault(field.attribute, []).append(_map_entry(raw, field, schema, depth))
        elif field.label is Label.REPEATED:
            items = collected.setdefault(field.attribute, [])
            if field.kind is Kind.INT and wire_type == _BYTES:
                items.extend(_unpack_varints(raw))
            else:
                items.append(_get(field, wire_type, raw, schema, depth))
        else:
            values[field.attribute] = _get(field, wire_type, raw, schema, depth)
    for attribute, items in collected.items():
        values[attribute] = tuple(items)
    return message_type(**values)


def _put(out: bytearray, number: int, kind: Kind, value: Any, schema: Schema) -> None:
    if kind is Kind.INT or kind is Kind.BOOL:
        out += _varint(number << 3 | _VARINT)
        out += _varint(int(value))
        return
    if kind is Kind.STRING:
        data = value.encode("utf-8", "surrogateescape")
    elif kind is Kind.BYTES:
        data = value
    else:
        data = encode(value, schema)
    out += _varint(number << 3 | _BYTES)
    out += _varint(len(data))
    out += data


def _varint(value: int) -> bytes:
    value &= _MASK64
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Corrupt("malformed message: bad varint")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK64, at
        shift += 7


def _records(data: bytes) -> list[tuple[int, int, Any]]:
    """Split a message into (field number, wire type, int or bytes)."""
    records: list[tuple[int, int, Any]] = []
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, at = _read_varint(data, at)
            records.append((number, wire_type, value))
            continue
        if wire_type == _BYTES:
            length, at = _read_varint(data, at)
        elif wire_type in (_FIXED32, _FIXED64):
            length = 4 if wire_type == _FIXED32 else 8
        else:
            raise Corrupt(f"malformed message: wire type {wire_type}")
        if at + length > len(data):
            raise Corrupt("malformed message: truncated")
        records.append((number, wire_type, data[at : at + length]))
        at += length
    return records


def _get(field: Field, wire_type: int, raw: Any, schema: Schema, depth: int) -> Any:
    expects_bytes = field.kind in (Kind.STRING, Kind.BYTES, Kind.MESSAGE)
    if expects_bytes != (wire_type == _BYTES):
        raise Corrupt(f"malformed message: field {field.number} has wire type {wire_type}")
    match field.kind:
        case Kind.STRING:
            return raw.decode("utf-8", "surrogateescape")
        case Kind.BYTES:
            return raw
        case Kind.BOOL:
            return bool(raw)
        case Kind.INT:
            number = _signed(raw)
            if field.type is None:
                return number
            try:
                return field.type(number)
            except ValueError as error:
                raise Corrupt(f"malformed message: {error}") from error
        case Kind.MESSAGE:
            return decode(raw, field.type, schema, depth=depth + 1)


def _map_entry(raw: Any, field: Field, schema: Schema, depth: int) -> tuple[str, Any]:
    key = ""
    value: Any = {Kind.STRING: "", Kind.BYTES: b"", Kind.BOOL: False, Kind.INT: 0}.get(field.kind)
    if not isinstance(raw, bytes):
        raise Corrupt(f"malformed message: field {field.number} is not a map")
    for number, wire_type, item in _records(raw):
        if number == 1 and isinstance(item, bytes):
            key = item.decode("utf-8", "surrogateescape")
        elif number == 2:
            value = _get(field, wire_type, item, schema, depth)
    if value is None:
        value = field.type()
    return key, value


def _unpack_varints(raw: bytes) -> list[int]:
    numbers, at = [], 0
    while at < len(raw):
        number, at = _read_varint(raw, at)
        numbers.append(_signed(number))
    return numbers


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
