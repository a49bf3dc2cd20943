"""Functions for the operators of logic and comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.bake.evaluate.operators import negated, operate
from lamina.bake.evaluate.scope import Function, Parameter
from lamina.bake.functions.define import fixed, nullable, number, open_ended
from lamina.bake.values.convert import convert, unify
from lamina.bake.values.value import BOOL, Value

if TYPE_CHECKING:
    from collections.abc import Sequence


def _operator(operator: str, left: Parameter, right: Parameter) -> Function:
    return fixed(lambda one, other: operate(operator, one, other), left, right)


def _coalesce(values: Sequence[Value]) -> Value:
    common = unify([value.type for value in values]) if values else None
    if common is None:
        raise ValueError("all arguments must have the same type")
    for value in values:
        if not value.is_null:
            return convert(value, common)
    raise ValueError("all arguments are null")


def _coalesce_list(values: Sequence[Value]) -> Value:
    if not values:
        raise ValueError("at least one argument is needed")
    for value in values:
        if value.type.kind not in ("list", "tuple"):
            raise ValueError("arguments must be lists or tuples")
    for value in values:
        if not value.is_null and value.elements:
            return value
    raise ValueError("all arguments are null or empty")


_A, _B = Parameter("a", BOOL), Parameter("b", BOOL)

FUNCTIONS = {
    "and": _operator("&&", _A, _B),
    "coalesce": open_ended(_coalesce, rest=nullable("values")),
    "coalescelist": open_ended(_coalesce_list, rest=nullable("values")),
    "equal": _operator("==", nullable("a"), nullable("b")),
    "greaterthan": _operator(">", number("a"), number("b")),
    "greaterthanorequalto": _operator(">=", number("a"), number("b")),
    "lessthan": _operator("<", number("a"), number("b")),
    "lessthanorequalto": _operator("<=", number("a"), number("b")),
    "not": fixed(negated, Parameter("value", BOOL)),
    "notequal": _operator("!=", nullable("a"), nullable("b")),
    "or": _operator("||", _A, _B),
}
