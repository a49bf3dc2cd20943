"""Functions on lists, tuples, maps and objects."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from lamina.bake.evaluate.scope import Parameter
from lamina.bake.functions.define import (
    TEXTS,
    any_value,
    fixed,
    nullable,
    number,
    open_ended,
    text,
    whole_argument,
)
from lamina.bake.values.convert import convert, distinct, unify
from lamina.bake.values.value import (
    DYNAMIC,
    NUMBER,
    STRING,
    Type,
    Value,
    boolean,
    friendly,
    list_of,
    list_value,
    map_value,
    object_value,
    same,
    string,
    tuple_value,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LIST = Parameter("list", list_of(DYNAMIC))


def _ordered(value: Value, what: str = "argument") -> Value:
    """A list or a tuple. Raises ValueError."""
    if value.type.kind not in ("list", "tuple"):
        raise ValueError(f"{what} must be a list or a tuple, not a {friendly(value.type)}")
    return value


def _like(value: Value, elements: Iterable[Value]) -> Value:
    """A list or tuple as the value is, of other elements."""
    return (
        tuple_value(elements)
        if value.type.kind == "tuple"
        else Value(list_of(value.type.each), tuple(elements))
    )


def _element(value: Value, index: Value) -> Value:
    elements = _ordered(value).elements
    if not elements:
        raise ValueError("the list is empty")
    return elements[whole_argument(index, "index") % len(elements)]


def _at(value: Value, key: Value) -> Value:
    if value.type.kind == "map":
        if key.type != STRING or key.text not in value.members:
            raise ValueError("the map has no such key")
        return value.members[key.text]
    elements = _ordered(value, "collection").elements
    if key.type != NUMBER:
        raise ValueError("the index must be a number")
    index = whole_argument(key, "index")
    if not 0 <= index < len(elements):
        raise ValueError(f"there is no such element; {len(elements)} elements start at 0")
    return elements[index]


def _has_index(value: Value, key: Value) -> Value:
    if value.type.kind == "map":
        return boolean(key.type == STRING and key.text in value.members)
    count = len(_ordered(value, "collection").elements)
    found = key.type == NUMBER and key.number.is_integer and 0 <= key.number.value < count
    return boolean(found)


def _index_of(value: Value, wanted: Value) -> Value:
    for index, element in enumerate(_ordered(value).elements):
        if same(element, wanted):
            return whole(index)
    raise ValueError("the list has no such element")


def _length(value: Value) -> Value:
    if value.type.kind == "map":
        return whole(len(value.members))
    if not value.type.is_sequence:
        raise ValueError(f"a {friendly(value.type)} has no length; strlen counts characters")
    return whole(len(value.elements))


def _contains(value: Value, wanted: Value) -> Value:
    if not value.type.is_sequence:
        raise ValueError("the first argument must be a list, a tuple or a set")
    return boolean(any(same(element, wanted) for element in value.elements))


def _compact(value: Value) -> Value:
    return list_value(STRING, (e for e in value.elements if not e.is_null and e.text))


def _unique(value: Value) -> Value:
    found: list[Value] = []
    for element in value.elements:
        if not any(same(element, other) for other in found):
            found.append(element)
    return list_value(value.type.each, found)


def _chunks(value: Value, size: Value) -> Value:
    count = whole_argument(size, "size")
    if count < 0:
        raise ValueError("size must not be negative")
    elements = value.elements
    step = count or max(len(elements), 1)
    parts = [elements[start : start + step] for start in range(0, len(elements), step)]
    return list_value(value.type, (Value(value.type, part) for part in parts))


def _flatten(value: Value) -> Value:
    if not value.type.is_sequence:
        raise ValueError("only lists, sets and tuples can be flattened")
    return tuple_value(_flattened(value))


def _flattened(value: Value) -> Iterable[Value]:
    for element in value.elements:
        if element.type.is_sequence and not element.is_null:
            yield from _flattened(element)
        else:
            yield element


def _mapping(value: Value) -> Value:
    if not value.type.is_mapping:
        raise ValueError(f"a map or an object is needed, not a {friendly(value.type)}")
    return value


def _keys(value: Value) -> Value:
    keys = [string(key) for key in _mapping(value).members]
    return list_value(STRING, keys) if value.type.kind == "map" else tuple_value(keys)


def _values(value: Value) -> Value:
    members = _mapping(value).members.values()
    if value.type.kind == "map":
        return list_value(value.type.each, members)
    return tuple_value(members)


def _lookup(value: Value, key: Value, default: Value) -> Value:
    found = _mapping(value).members.get(key.text)
    if value.type.kind == "map":
        default = convert(default, value.type.each)
    return default if found is None else found


def _merge(values: Sequence[Value]) -> Value:
    members: dict[str, Value] = {}
    for value in values:
        if not value.is_null:
            members.update(_mapping(value).members)
    types = {value.type for value in values}
    if len(types) == 1 and (kind := types.pop()).kind == "map":
        return map_value(kind.each, members)
    return object_value(members)


def _concat(values: Sequence[Value]) -> Value:
    if not values:
        raise ValueError("at least one argument is needed")
    elements = [element for value in values for element in _ordered(value).elements]
    if all(value.type.kind == "list" for value in values):
        common = unify([value.type for value in values])
        if common is not None:
            return convert(Value(common, tuple(convert(e, common.each) for e in elements)), common)
    return tuple_value(elements)


def _reverse_list(value: Value) -> Value:
    if not value.type.is_sequence:
        raise ValueError(f"only lists and tuples can be reversed, not a {friendly(value.type)}")
    return _like(value, reversed(value.elements))


def _slice(value: Value, start: Value, end: Value) -> Value:
    elements = _ordered(value).elements
    first, last = whole_argument(start, "start"), whole_argument(end, "end")
    if not 0 <= first <= last <= len(elements):
        raise ValueError(f"start and end must be between 0 and {len(elements)}, in this order")
    return _like(value, elements[first:last])


def _zip_map(keys: Value, values: Value) -> Value:
    elements = _ordered(values, "values").elements
    if len(keys.elements) != len(elements):
        raise ValueError(f"there are {len(keys.elements)} keys and {len(elements)} values")
    if any(key.is_null for key in keys.elements):
        raise ValueError("a key is null")
    members = {key.text: value for key, value in zip(keys.elements, elements, strict=True)}
    if values.type.kind == "list":
        return map_value(values.type.each, members)
    return object_value(members)


def _product(values: Sequence[Value]) -> Value:
    if len(values) < 2:
        raise ValueError("at least two arguments are needed")
    columns = []
    for value in values:
        if not value.type.is_sequence:
            raise ValueError("arguments must be sets, lists or tuples")
        common = DYNAMIC if not value.elements else unify([e.type for e in value.elements])
        if common is None:
            raise ValueError("all elements of a list must have the same type")
        columns.append([convert(element, common) for element in value.elements])
    rows = [tuple_value(row) for row in product(*columns)]
    kind = rows[0].type if rows else Type("tuple", items=(DYNAMIC,) * len(values))
    if any(value.type.kind == "set" for value in values):
        return Value(Type("set", kind), distinct(rows))
    return list_value(kind, rows)


FUNCTIONS = {
    "chunklist": fixed(_chunks, _LIST, number("size")),
    "compact": fixed(_compact, Parameter("list", TEXTS)),
    "concat": open_ended(_concat, rest=any_value("sequences")),
    "contains": fixed(_contains, any_value("list"), any_value("value")),
    "distinct": fixed(_unique, _LIST),
    "element": fixed(_element, any_value("list"), number("index")),
    "flatten": fixed(_flatten, any_value("list")),
    "hasindex": fixed(_has_index, any_value("collection"), any_value("key")),
    "index": fixed(_at, any_value("collection"), any_value("key")),
    "indexof": fixed(_index_of, any_value("list"), any_value("value")),
    "keys": fixed(_keys, any_value("map")),
    "length": fixed(_length, any_value("collection")),
    "lookup": fixed(_lookup, any_value("map"), text("key"), any_value("default")),
    "merge": open_ended(_merge, rest=nullable("maps")),
    "reverselist": fixed(_reverse_list, any_value("list")),
    "setproduct": open_ended(_product, rest=any_value("sets")),
    "slice": fixed(_slice, any_value("list"), number("start"), number("end")),
    "values": fixed(_values, any_value("map")),
    "zipmap": fixed(_zip_map, Parameter("keys", TEXTS), any_value("values")),
}
