"""The references of an expression: variables, attributes of blocks, functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.bake.hcl.syntax import (
    Attribute,
    Call,
    Expression,
    For,
    Index,
    Literal,
    Span,
    Variable,
    children,
)
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Reference(NamedTuple):
    """A variable, and the attributes that follow it; "" is an index."""

    span: Span
    name: str
    steps: tuple[str, ...]


class FunctionReference(NamedTuple):
    span: Span
    name: str


def references(
    expression: Expression, bound: frozenset[str] = frozenset()
) -> Iterator[Reference | FunctionReference]:
    """All references but those to names that the expression defines itself."""
    match expression:
        case Variable() | Attribute() | Index(_, _, Literal()):
            steps: list[str] = []
            source: Expression = expression
            while isinstance(source, Attribute) or (
                isinstance(source, Index) and isinstance(source.key, Literal)
            ):
                steps.append(source.name if isinstance(source, Attribute) else "")
                source = source.source
            if not isinstance(source, Variable):
                yield from references(source, bound)
            elif source.name not in bound:
                yield Reference(expression.span, source.name, tuple(reversed(steps)))
        case For():
            yield from references(expression.collection, bound)
            inner = bound | {expression.key_name, expression.value_name}
            for part in (expression.key, expression.value, expression.condition):
                if part is not None:
                    yield from references(part, inner)
        case _:
            if isinstance(expression, Call):
                yield FunctionReference(expression.span, expression.name)
            for child in children(expression):
                yield from references(child, bound)
