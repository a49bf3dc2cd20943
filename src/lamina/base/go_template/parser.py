"""Parses templates, as Go's `text/template/parse` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.go_template.constants import char_value, number_value, string_value
from lamina.base.go_template.errors import Malformed
from lamina.base.go_template.lexer import Token, tokens
from lamina.base.go_template.nodes import (
    Action,
    Break,
    Call,
    Chain,
    Command,
    Continue,
    Dot,
    Field,
    Function,
    If,
    Literal,
    Nil,
    Parsed,
    Pipeline,
    Range,
    Text,
    Variable,
    With,
)

if TYPE_CHECKING:
    from collections.abc import Container

    from lamina.base.go_template.nodes import Node, Operand

_MAX_DEPTH = 100
_KEYWORDS = frozenset(
    (
        *("if", "range", "with", "else", "end", "template", "define", "block"),
        *("break", "continue", "nil", "true", "false"),
    )
)
_BRANCHES: dict[str, type[If] | type[With] | type[Range]] = {"if": If, "with": With, "range": Range}


def parse(template: str, functions: Container[str]) -> Parsed:
    """Parse a template that may call `functions`. Raises Malformed."""
    return _Parser(template, functions).parse()


class _Parser:
    def __init__(self, template: str, functions: Container[str]) -> None:
        self._tokens = list(tokens(template))
        self._next = 0
        self._end = len(template)
        self._functions = functions
        self._variables = ["$"]
        self._loops = 0
        self._depth = 0
        self._defined: dict[str, tuple[Node, ...]] = {}

    def parse(self) -> Parsed:
        nodes, ending = self._list()
        if ending is not None:
            raise Malformed(f"unexpected {{{{{ending.text}}}}}", ending.at)
        return Parsed(nodes, self._defined)

    # Lists of nodes

    def _list(self) -> tuple[tuple[Node, ...], Token | None]:
        """Nodes up to `{{else` or `{{end`, whose word is returned, or up to the end."""
        nodes: list[Node] = []
        while (token := self._peek()) is not None:
            self._next += 1
            if token.kind == "text":
                nodes.append(Text(token.at, token.text))
                continue
            self._skip_space()
            word = self._peek()
            if word is not None and word.kind == "word" and word.text in ("else", "end"):
                self._next += 1
                return tuple(nodes), word
            node = self._action(token.at)
            if node is not None:
                nodes.append(node)
        return tuple(nodes), None

    def _body(self, opening: Token) -> tuple[tuple[Node, ...], Token]:
        """Nodes within a block, and the word that ends them."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise Malformed("nested too deep", opening.at)
        nodes, ending = self._list()
        self._depth -= 1
        if ending is None:
            raise Malformed(f"{{{{{opening.text}}}}} has no {{{{end}}}}", opening.at)
        return nodes, ending

    def _action(self, at: int) -> Node | None:
        word = self._peek()
        if word is not None and word.kind == "word" and word.text in _KEYWORDS:
            match word.text:
                case "if" | "with" | "range":
                    self._next += 1
                    return self._branch(word)
                case "template":
                    self._next += 1
                    return self._call(word)
                case "define":
                    self._next += 1
                    self._define(word)
                    return None
                case "block":
                    self._next += 1
                    return self._block(word)
                case "break" | "continue":
                    self._next += 1
                    self._close(word)
                    if not self._loops:
                        raise Malformed(f"{{{{{word.text}}}}} outside {{{{range}}}}", word.at)
                    return Break(word.at) if word.text == "break" else Continue(word.at)
        pipeline = self._pipeline("command", at, most=1)
        self._close(word)
        return Action(at, pipeline)

    def _branch(self, word: Token) -> Node:
        known = len(self._variables)
        loop = word.text == "range"
        pipeline = self._pipeline(word.text, word.at, most=2 if loop else 1)
        self._close(word)
        self._loops += loop
        body, ending = self._body(word)
        self._loops -= loop
        otherwise: tuple[Node, ...] = ()
        if ending.text == "else":
            otherwise = self._else(word)
        else:
            self._close(ending)
        del self._variables[known:]
        return _BRANCHES[word.text](word.at, pipeline, body, otherwise)

    def _else(self, opening: Token) -> tuple[Node, ...]:
        self._skip_space()
        word = self._peek()
        if word is not None and word.kind == "word" and word.text == opening.text != "range":
            self._next += 1
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise Malformed("nested too deep", word.at)
            nested = self._branch(word)  # its {{end}} is that of the opening, too
            self._depth -= 1
            return (nested,)
        self._close(opening)
        body, ending = self._body(opening)
        if ending.text == "else":
            raise Malformed("expected end; found {{else}}", ending.at)
        self._close(ending)
        return body

    def _call(self, word: Token) -> Call:
        name = self._name(word)
        pipeline = None
        if not self._at_end():
            pipeline = self._pipeline("template", word.at, most=1)
        self._close(word)
        return Call(word.at, name, pipeline)

    def _define(self, word: Token) -> None:
        if self._depth:
            raise Malformed("{{define}} within another block", word.at)
        name = self._name(word)
        self._close(word)
        self._template(name, word)

    def _block(self, word: Token) -> Call:
        name = self._name(word)
        pipeline = self._pipeline("block", word.at, most=1)
        self._close(word)
        self._template(name, word)
        return Call(word.at, name, pipeline)

    def _template(self, name: str, word: Token) -> None:
        variables, self._variables = self._variables, ["$"]
        loops, self._loops = self._loops, 0
        body, ending = self._body(word)
        if ending.text == "else":
            raise Malformed("unexpected {{else}}", ending.at)
        self._close(ending)
        self._variables, self._loops = variables, loops
        self._defined[name] = body

    def _name(self, word: Token) -> str:
        self._skip_space()
        token = self._take(word.text)
        if token.kind not in ("string", "raw"):
            raise Malformed(f'unexpected "{token.text}" in {word.text} clause', token.at)
        self._skip_space()
        return string_value(token)

    # Pipelines

    def _pipeline(self, context: str, at: int, *, most: int) -> Pipeline:
        """Up to the end of the action or a closing parenthesis, which stay.

        Args:
            most: how many variables may be declared.
        """
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise Malformed("nested too deep", at)
        declared, assigned = self._declaration(most)
        commands: list[Command] = []
        while True:
            self._skip_space()
            token = self._peek()
            if token is None or token.kind in ("end", "close"):
                break
            if token.kind == "pipe":
                raise Malformed("missing value for command", token.at)
            commands.append(self._command(len(commands)))
            token = self._peek()
            if token is not None and token.kind == "pipe":
                self._next += 1
                self._skip_space()
                if self._at_end():
                    raise Malformed("missing value for command", token.at)
        if not commands:
            raise Malformed(f"missing value for {context}", at)
        if not assigned:
            self._variables += declared
        self._depth -= 1
        return Pipeline(at, declared, assigned, tuple(commands))

    def _declaration(self, most: int) -> tuple[tuple[str, ...], bool]:
        self._skip_space()
        start = self._next
        names: list[str] = []
        while (token := self._peek()) is not None and token.kind == "variable":
            names.append(token.text)
            self._next += 1
            self._skip_space()
            token = self._peek()
            if token is None or token.kind not in ("declare", "assign", "comma"):
                break
            self._next += 1
            if token.kind == "comma":
                self._skip_space()
                if most < 2 or len(names) == most:
                    raise Malformed("too many declarations", token.at)
                continue
            if token.kind == "assign":
                for name in names:
                    self._check_variable(name, token.at)
            return tuple(names), token.kind == "assign"
        self._next = start
        return (), False

    def _command(self, stage: int) -> Command:
        operands: list[Operand] = []
        first = self._peek()
        assert first is not None
        while True:
            self._skip_space()
            token = self._peek()
            if token is None or token.kind in ("end", "close", "pipe"):
                break
            if operands and self._tokens[self._next - 1].kind != "space":
                raise Malformed(f'unexpected "{token.text}" in operand', token.at)
            operands.append(self._operand())
        if stage and isinstance(operands[0], Dot | Nil | Literal):
            raise Malformed(f"non executable command in pipeline stage {stage + 1}", first.at)
        return Command(first.at, tuple(operands))

    def _operand(self) -> Operand:
        term = self._term()
        names: list[str] = []
        while (token := self._peek()) is not None and token.kind == "field":
            names.append(token.text[1:])
            self._next += 1
        if not names:
            return term
        match term:
            case Field(at, own):
                return Field(at, (*own, *names))
            case Variable(at, name, own):
                return Variable(at, name, (*own, *names))
            case Literal() | Nil() | Dot():
                raise Malformed(f'unexpected ".{names[0]}" after term', term.at)
        return Chain(term.at, term, tuple(names))

    def _term(self) -> Operand:
        token = self._take("operand")
        match token.kind:
            case "dot":
                return Dot(token.at)
            case "field":
                return Field(token.at, (token.text[1:],))
            case "variable":
                self._check_variable(token.text, token.at)
                return Variable(token.at, token.text)
            case "string" | "raw":
                return Literal(token.at, string_value(token))
            case "char":
                return Literal(token.at, char_value(token))
            case "number":
                return Literal(token.at, number_value(token))
            case "word":
                return self._word(token)
            case "open":
                pipeline = self._pipeline("parenthesized pipeline", token.at, most=1)
                closing = self._peek()
                if closing is None or closing.kind != "close":
                    raise Malformed("unclosed left paren", token.at)
                self._next += 1
                return pipeline
        raise Malformed(f'unexpected "{token.text}" in operand', token.at)

    def _word(self, token: Token) -> Operand:
        match token.text:
            case "nil":
                return Nil(token.at)
            case "true" | "false":
                return Literal(token.at, token.text == "true")
        if token.text in _KEYWORDS:
            raise Malformed(f"unexpected <{token.text}> in operand", token.at)
        if token.text not in self._functions:
            raise Malformed(f'function "{token.text}" not defined', token.at)
        return Function(token.at, token.text)

    # Tokens

    def _check_variable(self, name: str, at: int) -> None:
        if name not in self._variables:
            raise Malformed(f'undefined variable "{name}"', at)

    def _peek(self) -> Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self, context: str) -> Token:
        token = self._peek()
        if token is None:
            raise Malformed(f"unexpected end in {context}", self._end)
        self._next += 1
        return token

    def _skip_space(self) -> None:
        while (token := self._peek()) is not None and token.kind == "space":
            self._next += 1

    def _at_end(self) -> bool:
        self._skip_space()
        token = self._peek()
        return token is None or token.kind == "end"

    def _close(self, word: Token | None) -> None:
        """The end of an action."""
        self._skip_space()
        token = self._take("action")
        if token.kind != "end":
            where = f" in {word.text}" if word is not None and word.kind == "word" else ""
            raise Malformed(f'unexpected "{token.text}"{where}', token.at)
