"""The parts of a parsed template. `at` is the place of a part in the text, in characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Dot(NamedTuple):
    at: int


class Nil(NamedTuple):
    at: int


class Literal(NamedTuple):
    """A string, a number, a character (its code) or a boolean."""

    at: int
    value: str | int | float | bool


class Field(NamedTuple):
    """`.A.B`: of the dot."""

    at: int
    names: tuple[str, ...]


class Variable(NamedTuple):
    """`$name.A.B`; `name` begins with `$`."""

    at: int
    name: str
    names: tuple[str, ...] = ()


class Function(NamedTuple):
    at: int
    name: str


class Chain(NamedTuple):
    """`(…).A.B`."""

    at: int
    operand: Operand
    names: tuple[str, ...]


class Command(NamedTuple):
    """A function or a value, with arguments."""

    at: int
    operands: tuple[Operand, ...]


class Pipeline(NamedTuple):
    """`$a, $b := c | d`. `declared` are the variables; with `assigned` they exist already."""

    at: int
    declared: tuple[str, ...]
    assigned: bool
    commands: tuple[Command, ...]


class Text(NamedTuple):
    at: int
    text: str


class Action(NamedTuple):
    """`{{…}}`: prints the value, unless it is that of a variable."""

    at: int
    pipeline: Pipeline


class If(NamedTuple):
    at: int
    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


class With(NamedTuple):
    at: int
    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


class Range(NamedTuple):
    at: int
    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


class Break(NamedTuple):
    at: int


class Continue(NamedTuple):
    at: int


class Call(NamedTuple):
    """`{{template "name" …}}`; without a pipeline the dot is nil."""

    at: int
    name: str
    pipeline: Pipeline | None


Operand: TypeAlias = "Dot | Nil | Literal | Field | Variable | Function | Chain | Pipeline"
Node: TypeAlias = "Text | Action | If | With | Range | Break | Continue | Call"


class Parsed(NamedTuple):
    """A template's own nodes, and those of the templates that it defines, by name."""

    nodes: tuple[Node, ...]
    defined: Mapping[str, tuple[Node, ...]]
