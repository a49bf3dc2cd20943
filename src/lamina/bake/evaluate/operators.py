"""The operators of HCL."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from lamina.bake.values.number import Number, combined
from lamina.bake.values.value import BOOL, NUMBER, Value, boolean, same

if TYPE_CHECKING:
    from collections.abc import Callable

LOGICAL = ("&&", "||")


def add(left: Number, right: Number) -> Number:
    return combined(left.value + right.value, left, right)


def subtract(left: Number, right: Number) -> Number:
    return combined(left.value - right.value, left, right)


def multiply(left: Number, right: Number) -> Number:
    return combined(left.value * right.value, left, right)


def divide(left: Number, right: Number) -> Number:
    """Raises ValueError for a division by zero, which gives infinity in BuildKit's bake."""
    if not right:
        raise ValueError("division by zero")
    return combined(left.value / right.value, left, right)


def remainder(left: Number, right: Number) -> Number:
    """The remainder of the truncated quotient, with the sign of `left`. Raises ValueError."""
    if not right:
        raise ValueError("division by zero")
    return combined(left.value - Fraction(int(left.value / right.value)) * right.value, left, right)


ARITHMETIC: dict[str, Callable[[Number, Number], Number]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": remainder,
}
COMPARISONS: dict[str, Callable[[Number, Number], bool]] = {
    "<": lambda left, right: left.value < right.value,
    "<=": lambda left, right: left.value <= right.value,
    ">": lambda left, right: left.value > right.value,
    ">=": lambda left, right: left.value >= right.value,
}


def operand_type(operator: str) -> str:
    """The type of the operands: number, bool, or values of any type."""
    if operator in LOGICAL:
        return "bool"
    return "any" if operator in ("==", "!=") else "number"


def operate(operator: str, left: Value, right: Value) -> Value:
    """Apply a binary operator to operands of its type. Raises ValueError."""
    if operator in ("==", "!="):
        return boolean(same(left, right) == (operator == "=="))
    if operator == "&&":
        return boolean(left.truth and right.truth)
    if operator == "||":
        return boolean(left.truth or right.truth)
    if (compare := COMPARISONS.get(operator)) is not None:
        return boolean(compare(left.number, right.number))
    return Value(NUMBER, ARITHMETIC[operator](left.number, right.number))


def negated(value: Value) -> Value:
    """`-` of a number, `!` of a truth value."""
    if value.type == BOOL:
        return boolean(not value.truth)
    number = value.number
    return Value(NUMBER, number._replace(value=-number.value))
