"""Functions on sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.bake.evaluate.scope import Parameter
from lamina.bake.functions.define import any_value, fixed, open_ended
from lamina.bake.values.convert import convert, unify
from lamina.bake.values.value import DYNAMIC, Value, boolean, same, set_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.bake.evaluate.scope import Function

_SET = Parameter("set", set_of(DYNAMIC))
Elements = tuple[Value, ...]


def _operation(combine: Callable[[Elements, Elements], Elements]) -> Function:
    def call(values: Sequence[Value]) -> Value:
        types = [v.type.each for v in values if v.elements or v.type.each != DYNAMIC]
        common = unify(types) if types else DYNAMIC
        if common is None:
            raise ValueError("the sets have elements of different types")
        first, *others = (convert(value, set_of(common)).elements for value in values)
        for other in others:
            first = combine(first, other)
        return (
            convert(Value(set_of(common), first), set_of(DYNAMIC))
            if first
            else Value(set_of(common), ())
        )

    return open_ended(call, _SET, rest=_SET)


def _within(element: Value, elements: Elements) -> bool:
    return any(same(element, other) for other in elements)


def _without(left: Elements, right: Elements) -> Elements:
    return tuple(element for element in left if not _within(element, right))


FUNCTIONS = {
    "sethaselement": fixed(
        lambda given, element: boolean(_within(element, given.elements)),
        *(_SET, any_value("element")),
    ),
    "setintersection": _operation(
        lambda left, right: tuple(element for element in left if _within(element, right))
    ),
    "setsubtract": _operation(_without),
    "setsymmetricdifference": _operation(
        lambda left, right: _without(left, right) + _without(right, left)
    ),
    "setunion": _operation(lambda left, right: left + _without(right, left)),
}
