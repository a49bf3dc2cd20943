"""Templates of HCL: strings and heredocs with `${…}` and `%{…}`, as trees of their parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from lamina.bake.hcl.syntax import (
    Conditional,
    Expression,
    For,
    Joined,
    Literal,
    Span,
    Template,
    Wrapped,
    failure,
)
from lamina.bake.values.value import string
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Text(NamedTuple):
    """Literal text: a line in heredocs."""

    span: Span
    text: str


class Interpolation(NamedTuple):
    span: Span
    expression: Expression


class Control(NamedTuple):
    """`%{ … }`: `word` is if, else, endif, for or endfor; `names` those that a `for` defines."""

    span: Span
    word: str
    expression: Expression | None = None
    names: tuple[str, str] = ("", "")


Part: TypeAlias = "Text | Interpolation | Control"


def without_indentation(parts: Sequence[Part]) -> list[Part]:
    """Remove the indentation that all lines of a `<<-` heredoc share. Blank lines do not count."""
    starts, least = [], -1
    new_line = True
    for index, part in enumerate(parts):
        if new_line:
            text = part.text if isinstance(part, Text) else ""
            if text.strip() or not text.endswith("\n"):
                indentation = len(text) - len(text.lstrip())
                least = indentation if least < 0 else min(least, indentation)
                starts.append(index)
        new_line = isinstance(part, Text) and part.text.endswith("\n")
    shortened = list(parts)
    for index in starts:
        part = shortened[index]
        if isinstance(part, Text):
            shortened[index] = part._replace(text=part.text[max(least, 0) :])
    return shortened


def assembled(parts: Sequence[Part], span: Span) -> Expression:
    """The expression for a whole template. Raises InvalidInput if a directive has no end."""
    if len(parts) == 1 and isinstance(parts[0], Interpolation):
        return Wrapped(span, parts[0].expression)
    if all(isinstance(part, Text) for part in parts):
        return Literal(span, string("".join(p.text for p in parts if isinstance(p, Text))))
    assembler = _Assembler(parts)
    found, stopped = assembler.until(())
    if stopped is not None:
        raise failure(f"%{{ {stopped.word} }} without a directive that it belongs to", stopped.span)
    return Template(span, tuple(found))


class _Assembler:
    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._next = 0

    def until(self, words: tuple[str, ...]) -> tuple[list[Expression], Control | None]:
        """The expressions before one of these directives, and that."""
        found: list[Expression] = []
        while self._next < len(self._parts):
            part = self._parts[self._next]
            self._next += 1
            match part:
                case Text(span, text):
                    found.append(Literal(span, string(text)))
                case Interpolation(_, expression):
                    found.append(expression)
                case Control(_, "if"):
                    found.append(self._conditional(part))
                case Control(_, "for"):
                    found.append(self._loop(part))
                case Control():
                    return found, part
        return found, None

    def _conditional(self, start: Control) -> Expression:
        assert start.expression is not None
        then, stopped = self.until(("else", "endif"))
        otherwise: list[Expression] = []
        if stopped is not None and stopped.word == "else":
            otherwise, stopped = self.until(("endif",))
        _expect("endif", start, stopped)
        return Conditional(
            start.span,
            start.expression,
            Template(start.span, tuple(then)),
            Template(start.span, tuple(otherwise)),
        )

    def _loop(self, start: Control) -> Expression:
        assert start.expression is not None
        body, stopped = self.until(("endfor",))
        _expect("endfor", start, stopped)
        each = Template(start.span, tuple(body))
        key, value = start.names
        return Joined(
            start.span, For(start.span, key, value, start.expression, None, each, None, False)
        )


def _expect(word: str, start: Control, stopped: Control | None) -> None:
    if stopped is None:
        raise failure(f"%{{ {start.word} }} has no %{{ {word} }}", start.span)
    if stopped.word != word:
        raise failure(f"%{{ {word} }} is expected here, not %{{ {stopped.word} }}", stopped.span)
