"""HCL's JSON form: https://github.com/hashicorp/hcl/blob/main/json/spec.md.

Strings are templates. Which members are blocks depends on who reads them, so the names of bake's
blocks are here.
"""

from __future__ import annotations

import re
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined] # not in stubs
from typing import TYPE_CHECKING, TypeAlias

from lamina.bake.hcl.parse import parse_expression, parse_template
from lamina.bake.hcl.syntax import (
    Block,
    Body,
    Expression,
    Literal,
    ObjectOf,
    Setting,
    Source,
    Span,
    TupleOf,
    failure,
)
from lamina.bake.values.number import parse_number
from lamina.bake.values.value import NUMBER, Value, boolean, null
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BLOCKS = {"": ("variable", "function", "group", "target"), "variable": ("validation",)}
"""Kinds of blocks within blocks of a kind, and within the file."""

_LABELLED = ("variable", "function", "group", "target")
_SYMBOLIC = {"variable": ("type",), "function": ("params", "variadic_params")}
"""Members whose strings are names or types, not templates."""

_SPACE = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")
_CONSTANTS = {"true": boolean(True), "false": boolean(False), "null": null()}
_DEEPEST = 250


class _String(NamedTuple):
    span: Span
    text: str


class _Array(NamedTuple):
    span: Span
    elements: tuple[_Node, ...]


class _Object(NamedTuple):
    span: Span
    members: tuple[tuple[_String, _Node], ...]


_Node: TypeAlias = "_String | _Array | _Object | Literal"


def parse_json_body(source: Source) -> Body:
    """Parse a file. Raises InvalidInput."""
    return _body(_Reader(source).whole(), "")


def _body(node: _Node, kind: str) -> Body:
    settings: list[Setting] = []
    blocks: list[Block] = []
    for name, value in _members(node):
        if name.text == "//":
            continue
        if name.text in _BLOCKS.get(kind, ()):
            blocks += _blocks(name, value)
        else:
            make = _symbolic if name.text in _SYMBOLIC.get(kind, ()) else _expression
            settings.append(Setting(name.span, name.text, make(value)))
    return Body(node.span, tuple(settings), tuple(blocks))


def _members(node: _Node) -> Iterator[tuple[_String, _Node]]:
    """Of an object, or of several in an array."""
    match node:
        case _Object():
            yield from node.members
        case _Array():
            for element in node.elements:
                yield from _members(element)
        case _:
            raise failure("a JSON object is expected here", node.span)


def _blocks(kind: _String, node: _Node) -> Iterator[Block]:
    labelled: list[tuple[tuple[str, ...], _Node]] = [((), node)]
    if kind.text in _LABELLED:
        labelled = [((name.text,), value) for name, value in _members(node)]
    for labels, value in labelled:
        for body in value.elements if isinstance(value, _Array) else (value,):
            if not (isinstance(body, Literal) and body.value.is_null):
                yield Block(body.span, kind.text, labels, _body(body, kind.text))


def _expression(node: _Node) -> Expression:
    match node:
        case Literal():
            return node
        case _String():
            return _within(node, parse_template)
        case _Array():
            return TupleOf(node.span, tuple(map(_expression, node.elements)))
        case _Object():
            items = ((_expression(key), _expression(value)) for key, value in node.members)
            return ObjectOf(node.span, tuple(items))


def _symbolic(node: _Node) -> Expression:
    match node:
        case _String():
            return _within(node, parse_expression)
        case _Array():
            return TupleOf(node.span, tuple(map(_symbolic, node.elements)))
        case _:
            return _expression(node)


def _within(node: _String, parse: Callable[[Source, int, int], Expression]) -> Expression:
    """Parse the text of a string: in its place, unless it has escape sequences."""
    span = node.span
    start, end = span.start + 1, span.end - 1
    if span.source.text[start:end] == node.text:
        return parse(span.source, start, end)
    return parse(Source(span.source.name, node.text), 0, len(node.text))


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._text = source.text
        self._position = 0
        self._depth = 0

    def whole(self) -> _Node:
        node = self._node()
        self._skip()
        if self._position < len(self._text):
            raise failure("the JSON text should end here", self._here())
        return node

    def _node(self) -> _Node:
        self._skip()
        self._depth += 1
        if self._depth > _DEEPEST:
            raise failure(f"nested more than {_DEEPEST} levels deep", self._here())
        char = self._text[self._position : self._position + 1]
        match char:
            case "{":
                node: _Node = self._object()
            case "[":
                node = self._array()
            case '"':
                node = self._string()
            case _:
                node = self._scalar()
        self._depth -= 1
        return node

    def _object(self) -> _Object:
        start = self._position
        members = []
        for _ in self._separated("}"):
            if self._text[self._position : self._position + 1] != '"':
                raise failure("a quoted name is expected", self._here())
            name = self._string()
            self._expect(":")
            members.append((name, self._node()))
        return _Object(self._span(start), tuple(members))

    def _array(self) -> _Array:
        start = self._position
        elements = tuple(self._node() for _ in self._separated("]"))
        return _Array(self._span(start), elements)

    def _separated(self, end: str) -> Iterator[None]:
        """Once before each item; reads the commas and the end."""
        self._position += 1
        self._skip()
        if self._text.startswith(end, self._position):
            self._position += 1
            return
        while True:
            self._skip()
            yield
            self._skip()
            if self._text.startswith(end, self._position):
                self._position += 1
                return
            self._expect(",")

    def _string(self) -> _String:
        start = self._position
        try:
            text, self._position = scanstring(self._text, start + 1, True)
        except JSONDecodeError as error:
            where = self._source, error.pos, error.pos + 1
            raise failure(f"malformed string: {error.msg}", Span(*where)) from None
        return _String(self._span(start), text)

    def _scalar(self) -> Literal:
        start = self._position
        match = _SCALAR.match(self._text, start)
        if match is None:
            raise failure("a JSON value is expected", self._here())
        self._position = match.end()
        value = _CONSTANTS.get(match[0])
        if value is None:
            try:
                value = Value(NUMBER, parse_number(match[0]))
            except ValueError as error:
                raise failure(str(error), self._span(start)) from None
        return Literal(self._span(start), value)

    def _expect(self, char: str) -> None:
        self._skip()
        if not self._text.startswith(char, self._position):
            raise failure(f'"{char}" is expected', self._here())
        self._position += 1

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._position)
        self._position = match.end() if match else self._position

    def _here(self) -> Span:
        return Span(self._source, self._position, self._position + 1)

    def _span(self, start: int) -> Span:
        return Span(self._source, start, self._position)
