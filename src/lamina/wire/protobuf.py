"""Protobuf's wire format, driven by tables: the subset that LLB and BuildKit's API need.

A library would take a third of the start-up time of a cached build (`docs/decisions`). An op is
identified by the hash of its bytes, so the encoding is canonical (Go's deterministic marshalling):
fields by number, zero values left out, map entries sorted by key.

A message's table is compiled to functions on first use: a list of field encoders, and a map from
tags to field decoders.
"""

from __future__ import annotations

from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any

from lamina.base.errors import Corrupt
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    Encode = Callable[[Any], bytes]
    Put = Callable[[bytearray, Any], None]  # appends a field's value to a message's bytes
    Decode = Callable[[bytes, int], Any]  # a message's bytes, and its nesting depth
    Take = Callable[[list[Any], Any, int], None]  # sets a field of a message from its raw value
    # converts a raw value (bytes or a number) to that of the field
    Value = Callable[[Any, int], Any]


class Kind(Enum):
    """The wire format of a field's value."""

    STRING = auto()
    BYTES = auto()
    INT = auto()  # int32, int64, uint32, uint64 and enums are all varints
    BOOL = auto()
    MESSAGE = auto()


class Label(Enum):
    """The cardinality of a field, and the meaning of its absence."""

    PLAIN = auto()  # zero value when absent
    OPTIONAL = auto()  # None when absent (messages, `optional` numbers)
    CHOICE = auto()  # member of a oneof: None when absent, and Go writes it after all other fields
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
"""Every attribute of the NamedTuples has a default, for absent fields."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MASK64 = (1 << 64) - 1
_MAX_DEPTH = 64
_SIGN = 1 << 63
_SMALL = tuple(bytes((value,)) for value in range(0x80))


def encode(message: Any, schema: Schema) -> bytes:
    """Encode a message canonically, like Go's protobuf with the option `Deterministic`.

    Digests are computed over these bytes, so vertices have the same ones as in BuildKit.
    """
    return _codecs(schema).encoder(type(message))(message)


def decode(data: bytes, message_type: Any, schema: Schema) -> Any:
    """Decode bytes to a value of `message_type`. Unknown fields are skipped. Raises Corrupt."""
    return _codecs(schema).decoder(message_type)(data, 0)


class _Entry(NamedTuple):
    """An entry of a map."""

    key: str = ""
    value: Any = None


_ZERO = {Kind.STRING: "", Kind.BYTES: b"", Kind.BOOL: False, Kind.INT: 0}


def _place(field: Field) -> tuple[bool, int]:
    return field.label is Label.CHOICE, field.number


class _Codecs:
    """The functions of a schema's messages, created on first use.

    If two threads create the same one at the same time, both are equivalent.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._encoders: dict[type, Encode] = {}
        self._decoders: dict[type, Decode] = {}

    def encoder(self, message_type: type) -> Encode:
        return self._encoders.get(message_type) or self._make_encoder(message_type)

    def decoder(self, message_type: type) -> Decode:
        return self._decoders.get(message_type) or self._make_decoder(message_type)

    def _make_encoder(self, message_type: Any) -> Encode:
        puts: list[tuple[int, bool, Put]] = []
        for field in sorted(self._schema[message_type], key=_place):
            index = message_type._fields.index(field.attribute)
            optional = field.label in (Label.OPTIONAL, Label.CHOICE)
            puts.append((index, optional, self._make_put(field)))

        def encode_fields(message: Any) -> bytes:
            out = bytearray()
            for index, optional, put in puts:
                value = message[index]
                if value or (optional and value is not None):
                    put(out, value)
            return bytes(out)

        self._encoders[message_type] = encode_fields
        return encode_fields

    def _make_put(self, field: Field) -> Put:
        tag = _varint(field.number << 3 | _BYTES)
        if field.label is Label.MAP:
            item = self._make_put(Field(2, "", field.kind, type=field.type))
            return partial(_put_map, tag, item)
        if field.kind in (Kind.INT, Kind.BOOL):
            if field.label is Label.REPEATED and field.kind is Kind.INT:
                return partial(_put_packed, tag)  # proto3 packs repeated numbers
            put: Put = partial(_put_number, _varint(field.number << 3 | _VARINT))
        elif field.kind is Kind.STRING:
            put = partial(_put_string, tag)
        elif field.kind is Kind.BYTES:
            put = partial(_put_bytes, tag)
        else:
            put = self._make_put_message(tag, field.type)
        if field.label is Label.REPEATED:
            return partial(_put_each, put)
        return put

    def _make_put_message(self, tag: bytes, message_type: type) -> Put:
        # created for the first message: types may refer to each other
        encoder: Encode | None = None

        def put(out: bytearray, value: Any) -> None:
            nonlocal encoder
            if encoder is None:
                encoder = self.encoder(message_type)
            _put_bytes(tag, out, encoder(value))

        return put

    def _make_decoder(self, message_type: Any) -> Decode:
        decoder = self._make_decode(message_type, self._schema[message_type])
        self._decoders[message_type] = decoder
        return decoder

    def _make_decode(self, message_type: Any, fields: tuple[Field, ...]) -> Decode:
        names: tuple[str, ...] = message_type._fields
        defaults = [message_type._field_defaults[name] for name in names]
        takes: dict[int, Take] = {}
        collected: list[int] = []
        known: set[int] = set()
        for field in fields:
            index = names.index(field.attribute)
            known.add(field.number)
            self._add_takes(takes, field, index)
            if field.label in (Label.REPEATED, Label.MAP):
                collected.append(index)

        def decode_fields(data: bytes, depth: int) -> Any:
            if depth > _MAX_DEPTH:
                raise Corrupt("malformed message: nested too deep")
            values = defaults.copy()
            at, end = 0, len(data)
            while at < end:
                tag = data[at]
                at += 1
                if tag >= 0x80:
                    tag, at = _read_varint(data, at - 1)
                wire_type = tag & 7
                raw: Any
                if wire_type in (_BYTES, _VARINT):
                    if at < end and data[at] < 0x80:  # most values are this small
                        raw = data[at]
                        at += 1
                    else:
                        raw, at = _read_varint(data, at)
                    if wire_type == _BYTES:
                        stop = at + raw
                        if stop > end:
                            raise Corrupt("malformed message: truncated")
                        raw = data[at:stop]
                        at = stop
                else:
                    at += _fixed_size(wire_type)
                    if at > end:
                        raise Corrupt("malformed message: truncated")
                take = takes.get(tag)
                if take is not None:
                    take(values, raw, depth)
                elif tag >> 3 in known:
                    reason = f"malformed message: field {tag >> 3} has wire type {wire_type}"
                    raise Corrupt(reason)
            for index in collected:
                if type(values[index]) is list:
                    values[index] = tuple(values[index])
            return tuple.__new__(message_type, values)

        return decode_fields

    def _add_takes(self, takes: dict[int, Take], field: Field, index: int) -> None:
        number = field.number << 3
        if field.label is Label.MAP:
            takes[number | _BYTES] = partial(_take_each, index, self._make_map_entry(field))
            return
        wire_type = _VARINT if field.kind in (Kind.INT, Kind.BOOL) else _BYTES
        value = self._make_value(field)
        if field.label is not Label.REPEATED:
            takes[number | wire_type] = partial(_take_one, index, value)
            return
        takes[number | wire_type] = partial(_take_each, index, value)
        if field.kind is Kind.INT:
            takes[number | _BYTES] = partial(_take_packed, index, value)

    def _make_value(self, field: Field) -> Value:
        """The function that converts the raw value of a field."""
        match field.kind:
            case Kind.STRING:
                return _to_text
            case Kind.BYTES:
                return _to_bytes
            case Kind.BOOL:
                return _to_bool
            case Kind.INT:
                return _to_int if field.type is None else partial(_to_enum, field.type)
            case Kind.MESSAGE:
                message_type = field.type
                return lambda raw, depth: self.decoder(message_type)(raw, depth + 1)

    def _make_map_entry(self, field: Field) -> Value:
        """A map entry is a message with a key, 1, and a value, 2."""
        item = Field(2, "value", field.kind, Label.OPTIONAL, field.type)
        decoder = self._make_decode(_Entry, (Field(1, "key", Kind.STRING), item))
        zero = _ZERO.get(field.kind)

        def entry(raw: Any, depth: int) -> Any:
            key, value = decoder(raw, depth)
            if value is None:
                value = zero if field.kind is not Kind.MESSAGE else field.type()
            return key, value

        return entry


def _take_one(index: int, value: Value, values: list[Any], raw: Any, depth: int) -> None:
    values[index] = value(raw, depth)


def _take_each(index: int, value: Value, values: list[Any], raw: Any, depth: int) -> None:
    items = values[index]
    if type(items) is list:
        items.append(value(raw, depth))
    else:
        values[index] = [value(raw, depth)]


def _take_packed(index: int, value: Value, values: list[Any], raw: Any, depth: int) -> None:
    at = 0
    while at < len(raw):
        number, at = _read_varint(raw, at)
        _take_each(index, value, values, number, depth)


def _to_text(raw: Any, _: int) -> Any:
    return raw.decode("utf-8", "surrogateescape")


def _to_bytes(raw: Any, _: int) -> Any:
    return raw


def _to_bool(raw: Any, _: int) -> Any:
    return raw != 0


def _to_int(raw: Any, _: int) -> Any:
    return raw if raw < _SIGN else raw - (1 << 64)


def _to_enum(enum: Any, raw: Any, _: int) -> Any:
    try:
        return enum(_to_int(raw, 0))
    except ValueError as error:
        raise Corrupt(f"malformed message: {error}") from error


def _put_number(tag: bytes, out: bytearray, value: Any) -> None:
    out += tag
    out += _varint(int(value))


def _put_bytes(tag: bytes, out: bytearray, value: Any) -> None:
    out += tag
    length = len(value)
    out += _SMALL[length] if length < 0x80 else _varint(length)
    out += value


def _put_string(tag: bytes, out: bytearray, value: Any) -> None:
    _put_bytes(tag, out, value.encode("utf-8", "surrogateescape"))


def _put_packed(tag: bytes, out: bytearray, value: Any) -> None:
    _put_bytes(tag, out, b"".join(map(_varint, value)))


def _put_each(put: Put, out: bytearray, value: Any) -> None:
    for item in value:
        put(out, item)


def _put_map(tag: bytes, put: Put, out: bytearray, value: Any) -> None:
    for key, item in sorted(value, key=lambda pair: pair[0].encode("utf-8", "surrogateescape")):
        entry = bytearray()
        _put_string(b"\x0a", entry, key)
        put(entry, item)
        _put_bytes(tag, out, entry)


def _varint(value: int) -> bytes:
    if 0 <= value < 0x80:
        return _SMALL[value]
    value &= _MASK64
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


def _fixed_size(wire_type: int) -> int:
    """The size of values that no table has and that are skipped."""
    if wire_type == _FIXED32:
        return 4
    if wire_type == _FIXED64:
        return 8
    raise Corrupt(f"malformed message: wire type {wire_type}")


_CODECS: dict[int, _Codecs] = {}


def _codecs(schema: Schema) -> _Codecs:
    """The functions of a schema. They keep it alive, so that its id stays unique."""
    codecs = _CODECS.get(id(schema))
    if codecs is None:
        codecs = _CODECS.setdefault(id(schema), _Codecs(schema))
    return codecs
