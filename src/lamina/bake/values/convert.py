"""Conversions between types of HCL, and the type that several have in common (go-cty)."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from lamina.bake.values.number import parse_number, shown
from lamina.bake.values.value import (
    DYNAMIC,
    Type,
    Value,
    boolean,
    friendly,
    list_value,
    map_value,
    null,
    object_of,
    object_value,
    same,
    string,
    tuple_value,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class ConversionError(ValueError):
    """A value cannot be converted to a type. The text names the required type."""


def convert(value: Value, want: Type) -> Value:
    """Convert a value to the type `want`. Raises ConversionError."""
    have = value.type
    if want == DYNAMIC or (have == want and not _has_dynamic(want)):
        return value
    if value.is_null:
        if not convertible(have, want):
            raise ConversionError(mismatch(have, want))
        return null(_without_optional(want))
    if have.is_primitive and want.is_primitive:
        return _primitive(value, want)
    match want.kind, have.kind:
        case "list" | "set", "list" | "set" | "tuple":
            return _sequence(value.elements, want)
        case "map", "map" | "object":
            return _map(value.members, want)
        case "object", "map" | "object":
            return _object(value, want)
        case "tuple", "tuple" if len(have.items) == len(want.items):
            return tuple_value(map(convert, value.elements, want.items))
    raise ConversionError(mismatch(have, want))


def convertible(have: Type, want: Type) -> bool:
    """Whether values of one type can have a form of the other; a string may be no number."""
    if DYNAMIC in (have, want) or have == want:
        return True
    if have.is_primitive and want.is_primitive:
        return "string" in (have.kind, want.kind)
    match want.kind, have.kind:
        case "list" | "set", "list" | "set":
            return convertible(have.each, want.each)
        case "list" | "set", "tuple":
            return _all_convertible(have.items, want.each)
        case "map", "map":
            return convertible(have.each, want.each)
        case "map", "object":
            return _all_convertible([kind for _, kind in have.attributes], want.each)
        case "object", "map":
            return all(convertible(have.each, kind) for _, kind in want.attributes)
        case "object", "object":
            given = dict(have.attributes)
            return all(
                convertible(given[name], kind) if name in given else name in want.optional
                for name, kind in want.attributes
            )
        case "tuple", "tuple":
            return len(have.items) == len(want.items) and all(
                map(convertible, have.items, want.items)
            )
    return False


def _all_convertible(have: Sequence[Type], want: Type) -> bool:
    if want == DYNAMIC:
        return not have or unify(have) is not None
    return all(convertible(kind, want) for kind in have)


def mismatch(have: Type, want: Type) -> str:
    """Why no value of one type has a form of the other."""
    if have.kind == want.kind == "object":
        given = dict(have.attributes)
        missing = [n for n, _ in want.attributes if n not in given and n not in want.optional]
        if missing:
            return f"missing attributes: {', '.join(missing)}"
        for name, kind in want.attributes:
            if name in given and not convertible(given[name], kind):
                return f'attribute "{name}": {mismatch(given[name], kind)}'
    if want.element == DYNAMIC and have.kind in ("tuple", "object"):
        return f"all {want.kind} elements must have the same type"
    return f"{friendly(want)} required, but have {friendly(have)}"


def _primitive(value: Value, want: Type) -> Value:
    match want.kind, value.type.kind:
        case "string", "number":
            return string(shown(value.number))
        case "string", "bool":
            return string("true" if value.truth else "false")
        case "number", "string":
            try:
                return Value(want, parse_number(value.text))
            except ValueError:
                raise ConversionError("a number is required") from None
        case "bool", "string" if value.text in ("true", "1"):
            return boolean(True)
        case "bool", "string" if value.text in ("false", "0"):
            return boolean(False)
        case "bool", "string":
            raise ConversionError("a bool is required")
    raise ConversionError(mismatch(value.type, want))


def _sequence(elements: Iterable[Value], want: Type) -> Value:
    converted, element = _unified(list(elements), want)
    made = list_value(element, converted)
    return made if want.kind == "list" else Value(Type("set", element), distinct(made.elements))


def _map(members: Mapping[str, Value], want: Type) -> Value:
    converted, element = _unified(list(members.values()), want)
    return map_value(element, dict(zip(members, converted, strict=True)))


def _unified(elements: list[Value], want: Type) -> tuple[list[Value], Type]:
    """The elements converted to one type, and that."""
    if not _has_dynamic(want.each) or not elements:
        return [convert(element, want.each) for element in elements], _without_optional(want.each)
    elements = [convert(element, want.each) for element in elements]
    common = unify([element.type for element in elements])
    if common is None:
        raise ConversionError(f"all {want.kind} elements must have the same type")
    return [convert(element, common) for element in elements], common


def _object(value: Value, want: Type) -> Value:
    members = {}
    for name, kind in want.attributes:
        member = value.members.get(name)
        if member is None and name not in want.optional:
            raise ConversionError(f'attribute "{name}" is required')
        try:
            members[name] = (
                null(_without_optional(kind)) if member is None else convert(member, kind)
            )
        except ConversionError as error:
            raise ConversionError(f'attribute "{name}": {error}') from None
    return object_value(members)


def _has_dynamic(kind: Type) -> bool:
    return (
        kind == DYNAMIC
        or bool(kind.optional)
        or (kind.element is not None and _has_dynamic(kind.element))
        or any(map(_has_dynamic, kind.items))
        or any(_has_dynamic(attribute) for _, attribute in kind.attributes)
    )


def _without_optional(kind: Type) -> Type:
    """The type without marks of optional attributes, as values have it."""
    return Type(
        kind.kind,
        None if kind.element is None else _without_optional(kind.element),
        tuple(map(_without_optional, kind.items)),
        tuple((name, _without_optional(attribute)) for name, attribute in kind.attributes),
    )


def distinct(elements: Iterable[Value]) -> tuple[Value, ...]:
    """The elements of a set in their order: sorted if they are primitive, without repetitions."""
    found: list[Value] = []
    for element in elements:
        if not any(same(element, other) for other in found):
            found.append(element)
    return tuple(sorted(found, key=_order)) if all(_ordered(e) for e in found) else tuple(found)


def _ordered(element: Value) -> bool:
    return element.type.is_primitive and not element.is_null


def _order(element: Value) -> tuple[Fraction, str]:
    if element.type.kind == "number":
        return element.number.value, ""
    return Fraction(0), str(element.data)


def unify(types: Sequence[Type]) -> Type | None:
    """The type that values of all these types can be converted to; None if there is none."""
    kinds = {kind.kind for kind in types} - {"dynamic"}
    if "object" in kinds and "tuple" in kinds:
        return None
    if len(kinds) == 1 and not kinds & {"string", "number", "bool"}:
        (kind,) = kinds
        if any(each == DYNAMIC for each in types):
            return DYNAMIC
        return _unify_alike(kind, types)
    if kinds == {"map", "object"} or kinds == {"list", "tuple"}:
        return _unify_mixed(types, kinds)
    for candidate in sorted(types, key=_preference):
        if all(convertible(kind, candidate) for kind in types):
            return candidate
    return None


def _preference(kind: Type) -> int:
    return {"string": 0, "dynamic": 2}.get(kind.kind, 1)


def _unify_alike(kind: str, types: Sequence[Type]) -> Type | None:
    """Types of one kind, which is not primitive."""
    if kind in ("list", "set", "map"):
        element = unify([each.each for each in types])
        return None if element is None else Type(kind, element)
    if kind == "object":
        names = {tuple(name for name, _ in each.attributes) for each in types}
        if len(names) > 1:
            return _as_collection("map", types)
        tables = [dict(each.attributes) for each in types]
        unified = {name: unify([t[name] for t in tables]) for name in tables[0]}
        found = {name: each for name, each in unified.items() if each is not None}
        return object_of(found) if len(found) == len(unified) else None
    if len({len(each.items) for each in types}) > 1:
        return _as_collection("list", types)
    items = [unify(column) for column in zip(*(each.items for each in types), strict=True)]
    known = [item for item in items if item is not None]
    return Type("tuple", items=tuple(known)) if len(known) == len(items) else None


def _as_collection(kind: str, types: Sequence[Type]) -> Type | None:
    """The list or map type that all these tuples or objects can be converted to."""
    inner = [i for each in types for i in (*each.items, *(t for _, t in each.attributes))]
    element = unify(inner) if inner else DYNAMIC
    return None if element is None else Type(kind, element)


def _unify_mixed(types: Sequence[Type], kinds: set[str]) -> Type | None:
    """Maps with objects, or lists with tuples."""
    collection = "map" if "map" in kinds else "list"
    structural = [each for each in types if each.kind in ("object", "tuple")]
    made = _as_collection(collection, structural)
    if made is None:
        return None
    return unify([made if each.kind in ("object", "tuple") else each for each in types])
