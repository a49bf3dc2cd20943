"""Short forms to define functions with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.bake.evaluate.scope import Function, Parameter
from lamina.bake.values.value import NUMBER, STRING, Type, Value, list_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TEXTS = list_of(STRING)


def text(name: str) -> Parameter:
    return Parameter(name, STRING)


def number(name: str) -> Parameter:
    return Parameter(name, NUMBER)


def any_value(name: str) -> Parameter:
    return Parameter(name)


def nullable(name: str, kind: Type | None = None) -> Parameter:
    """A parameter that takes null."""
    return Parameter(name, takes_null=True) if kind is None else Parameter(name, kind, True)


def fixed(call: Callable[..., Value], *parameters: Parameter) -> Function:
    """A function with these parameters; `call` gets one argument for each."""
    return Function(parameters, None, lambda values: call(*values))


def open_ended(
    call: Callable[[Sequence[Value]], Value], *parameters: Parameter, rest: Parameter
) -> Function:
    """A function with further arguments; `call` gets all of them."""
    return Function(parameters, rest, call)


def whole_argument(value: Value, name: str) -> int:
    """An integer. Raises ValueError."""
    given = value.number
    if not given.is_integer or abs(given.value) >= 1 << 63:
        raise ValueError(f"{name} must be a whole number")
    return int(given.value)
