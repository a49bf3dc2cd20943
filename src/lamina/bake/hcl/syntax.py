"""The syntax tree of HCL: bodies with attributes and blocks, and expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from lamina.base.errors import InvalidInput
from lamina.base.location import Location
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.bake.values.value import Value


class Source(NamedTuple):
    """A file: its name, as it was given, and its text."""

    name: str
    text: str


class Span(NamedTuple):
    """Characters `start` to `end` (exclusive) of a file."""

    source: Source
    start: int
    end: int

    def location(self) -> Location:
        text = self.source.text
        line = text.count("\n", 0, self.start) + 1
        last = line + text.count("\n", self.start, max(self.start, self.end - 1))
        column = self.start - text.rfind("\n", 0, self.start)
        return Location(self.source.name, line, last, text, language="HCL", character=column)

    def until(self, other: Span) -> Span:
        """From the start of this one to the end of the other."""
        return Span(self.source, self.start, other.end)


def failure(reason: str, span: Span, hint: str = "") -> InvalidInput:
    """The error for something wrong at this location."""
    return InvalidInput(reason, hint=hint, location=span.location())


class Literal(NamedTuple):
    span: Span
    value: Value


class Template(NamedTuple):
    """Text with expressions: a string of its parts. One part is always a literal."""

    span: Span
    parts: tuple[Expression, ...]


class Wrapped(NamedTuple):
    """`"${…}"`: the value itself, whatever its type."""

    span: Span
    inner: Expression


class Joined(NamedTuple):
    """The joined strings of a tuple, the result of `%{ for }`."""

    span: Span
    inner: Expression


class Variable(NamedTuple):
    span: Span
    name: str


class Attribute(NamedTuple):
    """`source.name`"""

    span: Span
    source: Expression
    name: str


class Index(NamedTuple):
    """`source[key]`"""

    span: Span
    source: Expression
    key: Expression


class Splat(NamedTuple):
    """`source[*]` or `source.*`: `each` is evaluated for each element, as `Item`."""

    span: Span
    source: Expression
    each: Expression


class Item(NamedTuple):
    """The element that a splat is at."""

    span: Span


class Call(NamedTuple):
    """A function call. With `expanded` the elements of the last argument are arguments."""

    span: Span
    name: str
    arguments: tuple[Expression, ...]
    expanded: bool


class Conditional(NamedTuple):
    span: Span
    condition: Expression
    truth: Expression
    falsity: Expression


class Binary(NamedTuple):
    span: Span
    operator: str
    left: Expression
    right: Expression


class Unary(NamedTuple):
    span: Span
    operator: str
    operand: Expression


class Parenthesized(NamedTuple):
    span: Span
    inner: Expression


class TupleOf(NamedTuple):
    span: Span
    elements: tuple[Expression, ...]


class ObjectOf(NamedTuple):
    """`{key = value}`. A key that is a bare name is a `Literal`."""

    span: Span
    items: tuple[tuple[Expression, Expression], ...]


class For(NamedTuple):
    """`[for …]`, or `{for …}` with a `key`. `grouped` is the `...` after the value."""

    span: Span
    key_name: str
    value_name: str
    collection: Expression
    key: Expression | None
    value: Expression
    condition: Expression | None
    grouped: bool


Expression: TypeAlias = (
    "Literal | Template | Wrapped | Joined | Variable | Attribute | Index | Splat | Item | Call"
    " | Conditional | Binary | Unary | Parenthesized | TupleOf | ObjectOf | For"
)


class Setting(NamedTuple):
    """`name = expression` in a body."""

    span: Span
    name: str
    expression: Expression


class Block(NamedTuple):
    """`kind "label" { … }`; `span` is that of the header."""

    span: Span
    kind: str
    labels: tuple[str, ...]
    body: Body


class Body(NamedTuple):
    """The contents of a file or a block. `from_json` bodies may repeat blocks as settings."""

    span: Span
    settings: tuple[Setting, ...]
    blocks: tuple[Block, ...]


def children(expression: Expression) -> Iterator[Expression]:
    """The expressions that one consists of."""
    for field in expression[1:]:
        yield from _expressions(field)


def _expressions(field: Any) -> Iterator[Any]:
    if isinstance(field, NODES):
        yield field
    elif type(field) is tuple:
        for inner in field:
            yield from _expressions(inner)


NODES = (
    *(Literal, Template, Wrapped, Joined, Variable, Attribute, Index, Splat, Item, Call),
    *(Conditional, Binary, Unary, Parenthesized, TupleOf, ObjectOf, For),
)


def keyword(expression: Expression) -> str:
    """The name that an expression consists of (ExprAsKeyword); empty if it is something else."""
    if isinstance(expression, Variable):
        return expression.name
    if isinstance(expression, Literal) and expression.value.type.kind in ("bool", "dynamic"):
        text = expression.span.source.text[expression.span.start : expression.span.end]
        return text if text in ("true", "false", "null") else ""
    return ""
