"""Values as JSON (go-cty's `json`): the format of `jsonencode` and of variables."""

from __future__ import annotations

import json
from typing import Any

from lamina.bake.values.convert import ConversionError, convert
from lamina.bake.values.number import parse_number, shown
from lamina.bake.values.value import (
    DYNAMIC,
    NUMBER,
    Type,
    Value,
    boolean,
    null,
    object_value,
    string,
    tuple_value,
)
from lamina.base.gojson import encode


def to_json(value: Value) -> str:
    """The value in one line; keys are sorted."""
    match value.data:
        case None:
            return "null"
        case bool() as truth:
            return "true" if truth else "false"
        case str() as text:
            return encode(text).decode()
        case dict() as members:
            inner = (f"{encode(key).decode()}:{to_json(member)}" for key, member in members.items())
            return f"{{{','.join(inner)}}}"
    if value.type == NUMBER:
        return shown(value.number)
    return f"[{','.join(map(to_json, value.elements))}]"


def from_json(text: str) -> Value:
    """Read JSON: arrays are tuples, objects are objects. Raises ValueError, RecursionError."""
    return _value(json.loads(text, parse_int=_Digits, parse_float=_Digits, parse_constant=_refuse))


def from_json_as(text: str, want: Type) -> Value:
    """Read JSON as a value of a type. Raises ConversionError, and the errors of `from_json`."""
    value = from_json(text)
    if value.is_null:
        return null(want)
    if want.kind in ("bool", "number") and value.type.kind not in (want.kind, "string"):
        raise ConversionError(f"{want.kind} is required")
    return convert(value, want)


def to_json_as(value: Value, want: Type) -> str:
    """The value in one line. Parts whose type `want` leaves open include their type, as in
    go-cty."""
    if want == DYNAMIC:
        kind = encode(_type_document(value.type)).decode()
        return f'{{"value":{to_json(value)},"type":{kind}}}'
    if value.is_null or want.is_primitive:
        return to_json(value)
    match want.kind:
        case "list" | "set":
            return f"[{','.join(to_json_as(element, want.each) for element in value.elements)}]"
        case "tuple":
            return f"[{','.join(map(to_json_as, value.elements, want.items))}]"
    types = dict(want.attributes)
    inner = (
        f"{encode(key).decode()}:{to_json_as(member, types.get(key) or want.each)}"
        for key, member in value.members.items()
    )
    return f"{{{','.join(inner)}}}"


def _type_document(kind: Type) -> object:
    match kind.kind:
        case "list" | "set" | "map":
            return [kind.kind, _type_document(kind.each)]
        case "tuple":
            return ["tuple", [_type_document(item) for item in kind.items]]
        case "object":
            return ["object", {name: _type_document(each) for name, each in kind.attributes}]
        case name:
            return name


class _Digits(str):
    """The digits of a number, which a float would round."""


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _value(read: Any) -> Value:
    match read:
        case None:
            return null()
        case bool():
            return boolean(read)
        case _Digits():
            return Value(NUMBER, parse_number(read))
        case str():
            return string(read)
        case list():
            return tuple_value(map(_value, read))
    return object_value({key: _value(member) for key, member in read.items()})
