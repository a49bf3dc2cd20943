"""Types and values of HCL expressions (go-cty), without unknown values: bake has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from lamina.bake.values.number import Number, integer
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Type(NamedTuple):
    """A type, by its kind: string, number, bool, dynamic, list, set, map, tuple, object.

    `element` is the type of the elements of lists, sets and maps; `items` are those of a tuple's
    elements, `attributes` those of an object's attributes, by name and in its order. `optional`
    names attributes that a conversion to the type may leave out.
    """

    kind: str
    element: Type | None = None
    items: tuple[Type, ...] = ()
    attributes: tuple[tuple[str, Type], ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def each(self) -> Type:
        """The type of the elements of a collection."""
        assert self.element is not None
        return self.element

    @property
    def is_primitive(self) -> bool:
        return self.kind in ("string", "number", "bool")

    @property
    def is_sequence(self) -> bool:
        return self.kind in ("list", "set", "tuple")

    @property
    def is_mapping(self) -> bool:
        return self.kind in ("map", "object")


STRING = Type("string")
NUMBER = Type("number")
BOOL = Type("bool")
DYNAMIC = Type("dynamic")


def list_of(element: Type) -> Type:
    return Type("list", element)


def set_of(element: Type) -> Type:
    return Type("set", element)


def map_of(element: Type) -> Type:
    return Type("map", element)


def object_of(attributes: Mapping[str, Type], optional: tuple[str, ...] = ()) -> Type:
    """The type of objects with these attributes, in the order of their names."""
    return Type("object", attributes=tuple(sorted(attributes.items())), optional=optional)


Data: TypeAlias = "str | bool | Number | tuple[Value, ...] | Mapping[str, Value] | None"


class Value(NamedTuple):
    """A value; `data` is None for null, whatever the type."""

    type: Type
    data: Data

    @property
    def is_null(self) -> bool:
        return self.data is None

    @property
    def text(self) -> str:
        assert isinstance(self.data, str)
        return self.data

    @property
    def number(self) -> Number:
        assert isinstance(self.data, Number)
        return self.data

    @property
    def truth(self) -> bool:
        assert isinstance(self.data, bool)
        return self.data

    @property
    def elements(self) -> tuple[Value, ...]:
        """Of a list, set or tuple."""
        assert isinstance(self.data, tuple)
        return self.data

    @property
    def members(self) -> Mapping[str, Value]:
        """Of a map or object, in the order of the keys."""
        assert isinstance(self.data, dict)
        return self.data


def string(text: str) -> Value:
    """A string, in the normal form that go-cty has: NFC."""
    if not text.isascii():
        from unicodedata import normalize

        text = normalize("NFC", text)
    return Value(STRING, text)


def boolean(truth: bool) -> Value:
    return Value(BOOL, truth)


def whole(number: int) -> Value:
    return Value(NUMBER, integer(number))


def null(kind: Type = DYNAMIC) -> Value:
    return Value(kind, None)


def tuple_value(elements: Iterable[Value]) -> Value:
    data = tuple(elements)
    return Value(Type("tuple", items=tuple(element.type for element in data)), data)


def list_value(element: Type, elements: Iterable[Value]) -> Value:
    """A list. All elements have that type."""
    return Value(list_of(element), tuple(elements))


def object_value(members: Mapping[str, Value]) -> Value:
    data = dict(sorted(members.items()))
    types = tuple((name, member.type) for name, member in data.items())
    return Value(Type("object", attributes=types), data)


def map_value(element: Type, members: Mapping[str, Value]) -> Value:
    """A map. All members have that type."""
    return Value(map_of(element), dict(sorted(members.items())))


def friendly(kind: Type) -> str:
    """The name of a type in messages, and in lists of variables (FriendlyNameForConstraint)."""
    match kind.kind:
        case "list" | "set" | "map":
            element = "any single type" if kind.each == DYNAMIC else friendly(kind.each)
            return f"{kind.kind} of {element}"
        case "dynamic":
            return "any type"
        case name:
            return name


def same(left: Value, right: Value) -> bool:
    """Whether two values are equal (`==`): nulls are, values of different types are not."""
    if left.is_null or right.is_null:
        return left.is_null and right.is_null
    if left.type.kind != right.type.kind:
        return False
    match left.data, right.data:
        case Number() as one, Number() as other:
            return one.value == other.value
        case tuple() as ones, tuple() as others:
            return (
                left.type.element == right.type.element
                and len(ones) == len(others)
                and all(map(same, ones, others))
            )
        case dict() as ones, dict() as others:
            return (
                left.type.element == right.type.element
                and ones.keys() == others.keys()
                and all(same(member, others[key]) for key, member in ones.items())
            )
        case one, other:
            return one == other
