"""Attributes and elements of values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.bake.hcl.syntax import failure
from lamina.bake.values.convert import ConversionError, convert
from lamina.bake.values.value import NUMBER, STRING, Value, friendly

if TYPE_CHECKING:
    from lamina.bake.hcl.syntax import Span


def member_of(source: Value, name: str, span: Span) -> Value:
    """The attribute of an object, or the element of a map. Raises InvalidInput."""
    if source.is_null:
        raise failure(f'a null value has no attribute "{name}"', span)
    if not source.type.is_mapping:
        hint = ""
        if source.type.is_sequence:
            hint = f"write [*].{name} for the attribute of each element"
        raise failure(
            f'a value of type {friendly(source.type)} has no attribute "{name}"', span, hint=hint
        )
    if (member := source.members.get(name)) is None:
        known = ", ".join(source.members) or "none"
        raise failure(f'there is no attribute "{name}"', span, hint=f"attributes: {known}")
    return member


def element_at(source: Value, key: Value, span: Span) -> Value:
    """The element with an index or a key. Raises InvalidInput."""
    if source.is_null:
        raise failure("a null value has no elements", span)
    if key.is_null:
        raise failure("the index is null", span)
    if source.type.is_mapping:
        return member_of(source, _converted(key, span).text, span)
    if source.type.kind not in ("list", "tuple"):
        raise failure(f"a value of type {friendly(source.type)} has no indices", span)
    try:
        number = convert(key, NUMBER).number
    except ConversionError as error:
        raise failure(f"the index does not fit: {error}", span) from None
    count = len(source.elements)
    if not number.is_integer or not 0 <= number.value < count:
        raise failure(f"there is no such element; {count} elements start at 0", span)
    return source.elements[int(number.value)]


def _converted(key: Value, span: Span) -> Value:
    try:
        return convert(key, STRING)
    except ConversionError as error:
        raise failure(f"the key does not fit: {error}", span) from None
