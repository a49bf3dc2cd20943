"""The scope of expressions: variables and functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from lamina.bake.values.value import DYNAMIC, Type, Value
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lamina.bake.hcl.syntax import Call


class Parameter(NamedTuple):
    """A parameter of a function. Arguments are converted to its type."""

    name: str
    type: Type = DYNAMIC
    takes_null: bool = False


class Function(NamedTuple):
    """A function; `call` raises ValueError with the reason why it has no result.

    `variadic` is the parameter of all further arguments, None if there can be none.
    """

    parameters: tuple[Parameter, ...]
    variadic: Parameter | None
    call: Callable[[Sequence[Value]], Value]


class SyntaxFunction(NamedTuple):
    """A function that evaluates its arguments itself, such as `try`. It raises InvalidInput."""

    call: Callable[[Call, Scope], Value]


AnyFunction: TypeAlias = "Function | SyntaxFunction"


class Scope(NamedTuple):
    """Variables, over those of an outer scope; functions are the same in all of them.

    `item` is the element that a splat is at.
    """

    variables: Mapping[str, Value]
    functions: Mapping[str, AnyFunction]
    outer: Scope | None = None
    item: Value | None = None

    def inside(self, variables: Mapping[str, Value]) -> Scope:
        """A scope with more variables."""
        return Scope(variables, self.functions, self, self.item)

    def find(self, name: str) -> Value | None:
        scope: Scope | None = self
        while scope is not None:
            if (value := scope.variables.get(name)) is not None:
                return value
            scope = scope.outer
        return None
