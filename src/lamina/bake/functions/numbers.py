"""Functions on numbers."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from lamina.bake.evaluate.operators import ARITHMETIC, negated
from lamina.bake.functions.define import (
    any_value,
    fixed,
    number,
    open_ended,
    whole_argument,
)
from lamina.bake.values.number import Number, from_float
from lamina.bake.values.value import NUMBER, STRING, Value, friendly, list_value, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.bake.evaluate.scope import Function

_MOST = 1024
"""Numbers that `range` makes at most."""

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _arithmetic(operator: str) -> Function:
    operate = ARITHMETIC[operator]
    return fixed(
        lambda left, right: Value(NUMBER, operate(left.number, right.number)),
        number("a"),
        number("b"),
    )


def _changed(change: Callable[[Fraction], Fraction | int]) -> Function:
    def call(value: Value) -> Value:
        changed = Fraction(change(value.number.value))
        precision = max(value.number.precision, abs(changed.numerator).bit_length())
        return Value(NUMBER, Number(changed, precision))

    return fixed(call, number("number"))


def _extreme(choose: Callable[[Sequence[Fraction]], Fraction]) -> Function:
    def call(values: Sequence[Value]) -> Value:
        if not values:
            raise ValueError("at least one number is needed")
        best = choose([value.number.value for value in values])
        return next(value for value in values if value.number.value == best)

    return open_ended(call, rest=number("numbers"))


def _floating(compute: Callable[[float, float], float]) -> Callable[[Value, Value], Value]:
    def call(left: Value, right: Value) -> Value:
        try:
            result = compute(float(left.number.value), float(right.number.value))
            return Value(NUMBER, from_float(result))
        except (ArithmeticError, ValueError, TypeError):
            raise ValueError("the result is no finite number") from None

    return call


def _logarithm(value: float, base: float) -> float:
    return math.log(value) / math.log(base)


def _signum(value: Value) -> Value:
    given = whole_argument(value, "number")
    return whole((given > 0) - (given < 0))


def _parse_int(value: Value, base: Value) -> Value:
    if value.type != STRING:
        raise ValueError(f"number must be a string, not a {friendly(value.type)}")
    radix = whole_argument(base, "base")
    if not 2 <= radix <= 62:
        raise ValueError("base must be between 2 and 62")
    written = value.text
    digits = written[1:] if written[:1] in ("+", "-") else written
    if radix <= 36:
        digits = digits.lower()
    total = 0
    for digit in digits or "?":
        index = _DIGITS.find(digit)
        if not 0 <= index < radix:
            raise ValueError(f'"{written}" is no integer of base {radix}')
        total = total * radix + index
    return whole(-total if written.startswith("-") else total)


def _range(values: Sequence[Value]) -> Value:
    given = [value.number for value in values]
    if not 1 <= len(given) <= 3:
        raise ValueError("one, two or three arguments are needed")
    start = given[0] if len(given) > 1 else given[0]._replace(value=Fraction(0))
    end = given[1] if len(given) > 1 else given[0]
    down = end.value < start.value
    step = given[2].value if len(given) == 3 else Fraction(-1 if down else 1)
    if not step:
        raise ValueError("the step must not be zero")
    if len(given) == 3 and (end.value - start.value) * step < 0:
        raise ValueError("the step leads away from the end")
    found: list[Value] = []
    current = start.value
    while current > end.value if step < 0 else current < end.value:
        if len(found) >= _MOST:
            raise ValueError(f"more than {_MOST} numbers; take a larger step or another end")
        found.append(Value(NUMBER, start._replace(value=current)))
        current += step
    return list_value(NUMBER, found)


FUNCTIONS = {
    "absolute": _changed(abs),
    "add": _arithmetic("+"),
    "ceil": _changed(math.ceil),
    "divide": _arithmetic("/"),
    "floor": _changed(math.floor),
    "int": _changed(int),
    "log": fixed(_floating(_logarithm), number("number"), number("base")),
    "max": _extreme(max),
    "min": _extreme(min),
    "modulo": _arithmetic("%"),
    "multiply": _arithmetic("*"),
    "negate": fixed(negated, number("number")),
    "parseint": fixed(_parse_int, any_value("number"), number("base")),
    "pow": fixed(_floating(math.pow), number("number"), number("power")),
    "range": open_ended(_range, rest=number("numbers")),
    "signum": fixed(_signum, number("number")),
    "subtract": _arithmetic("-"),
}
