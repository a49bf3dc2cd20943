"""Parses HCL. Nothing is recovered: the first mistake is the error.

The grammar is https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.bake.hcl.scan import Scanner, described
from lamina.bake.hcl.syntax import (
    Attribute,
    Binary,
    Block,
    Body,
    Call,
    Conditional,
    Expression,
    For,
    Index,
    Item,
    Literal,
    ObjectOf,
    Parenthesized,
    Setting,
    Source,
    Splat,
    TupleOf,
    Unary,
    Variable,
    failure,
    keyword,
)
from lamina.bake.hcl.template_scan import heredoc, quoted, template_text
from lamina.bake.values.number import parse_number
from lamina.bake.values.value import NUMBER, Value, boolean, null, string

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.bake.hcl.scan import Token
    from lamina.bake.hcl.syntax import Span

_LEVELS = (("||",), ("&&",), ("==", "!="), ("<", "<=", ">", ">="), ("+", "-"), ("*", "/", "%"))
_CONSTANTS = {"true": boolean(True), "false": boolean(False), "null": null()}


def parse_body(source: Source) -> Body:
    """Parse a file. Raises InvalidInput."""
    return _Parser(source).body("end")


def parse_expression(source: Source, start: int, end: int) -> Expression:
    """Parse these characters of a file as an expression. Raises InvalidInput."""
    parser = _Parser(source, start, end)
    parser.scanner.newlines = False
    found = parser.expression()
    parser.scanner.need("end", "the expression should end here")
    return found


def parse_template(source: Source, start: int = 0, end: int | None = None) -> Expression:
    """Parse these characters of a text as a template without quotes. Raises InvalidInput."""
    parser = _Parser(source, start, end)
    return template_text(parser.scanner, parser.inner)


class _Parser:
    def __init__(self, source: Source, start: int = 0, end: int | None = None) -> None:
        self.scanner = Scanner(source, start, end)

    def body(self, end: str) -> Body:
        scanner = self.scanner
        start = scanner.position
        settings: dict[str, Setting] = {}
        blocks: list[Block] = []
        scanner.deeper()
        while True:
            token = scanner.read()
            if token.kind == end:
                break
            if token.kind == "newline":
                continue
            if token.kind != "name":
                reason = f"an argument or a block is expected, but found {described(token)}"
                if token.kind == "end":
                    reason = "this block has no closing brace"
                    token = token._replace(span=scanner.span(max(start - 1, 0), start))
                raise failure(reason, token.span)
            if scanner.take("=") is not None:
                setting = self._setting(token)
                if setting.name in settings:
                    line = settings[setting.name].span.location().start
                    raise failure(
                        f'argument "{setting.name}" is set in line {line} already', setting.span
                    )
                settings[setting.name] = setting
            else:
                blocks.append(self._block(token))
        scanner.shallower()
        return Body(scanner.span(start), tuple(settings.values()), tuple(blocks))

    def _setting(self, name: Token) -> Setting:
        expression = self.expression()
        self._end_of_item()
        return Setting(name.span, name.text, expression)

    def _end_of_item(self) -> None:
        token = self.scanner.peek()
        if token.kind not in ("newline", "end"):
            raise failure(
                f"a new line is expected, but found {described(token)}",
                token.span,
                hint="each argument and each block has its own line",
            )

    def _block(self, kind: Token) -> Block:
        scanner = self.scanner
        labels: list[str] = []
        while True:
            token = scanner.read()
            match token.kind:
                case "name":
                    labels.append(token.text)
                case '"':
                    label = quoted(scanner, token, self.inner)
                    if not isinstance(label, Literal):
                        raise failure("labels of blocks have no expressions in them", label.span)
                    labels.append(label.value.text)
                case "{":
                    break
                case _:
                    raise failure(
                        f'"=" or a block is expected after "{kind.text}",'
                        f" but found {described(token)}",
                        token.span if token.kind != "newline" else kind.span,
                    )
        header = kind.span.until(token.span)
        if scanner.peek().kind not in ("newline", "}", "end"):
            body = self._line_body()
        else:
            body = self.body("}")
        self._end_of_item()
        return Block(header, kind.text, tuple(labels), body)

    def _line_body(self) -> Body:
        """`block { name = value }` in one line."""
        scanner = self.scanner
        start = scanner.position
        name = scanner.need("name", "an argument is expected")
        scanner.need("=", "a block in one line has one argument")
        setting = Setting(name.span, name.text, self.expression())
        scanner.need("}", "a block in one line ends after its argument")
        return Body(scanner.span(start), (setting,), ())

    def expression(self) -> Expression:
        scanner = self.scanner
        scanner.deeper()
        condition = self._binary(0)
        if scanner.take("?") is not None:
            truth = self.expression()
            scanner.need(":", "a conditional has a second value after a colon")
            falsity = self.expression()
            span = condition.span.until(falsity.span)
            condition = Conditional(span, condition, truth, falsity)
        scanner.shallower()
        return condition

    @contextmanager
    def _newlines(self, significant: bool) -> Iterator[None]:
        before, self.scanner.newlines = self.scanner.newlines, significant
        yield
        self.scanner.newlines = before

    def inner(self) -> Expression:
        """An expression in a template, where newlines mean nothing."""
        with self._newlines(False):
            return self.expression()

    def _binary(self, level: int) -> Expression:
        if level == len(_LEVELS):
            return self._traversed(self._term())
        left = self._binary(level + 1)
        while self.scanner.peek().kind in _LEVELS[level]:
            operator = self.scanner.read().kind
            right = self._binary(level + 1)
            left = Binary(left.span.until(right.span), operator, left, right)
        return left

    def _term(self) -> Expression:
        scanner = self.scanner
        token = scanner.read()
        match token.kind:
            case "number":
                try:
                    return Literal(token.span, Value(NUMBER, parse_number(token.text)))
                except ValueError as error:
                    raise failure(str(error), token.span) from None
            case "name":
                return self._named(token)
            case '"':
                return quoted(scanner, token, self.inner)
            case "heredoc":
                return heredoc(scanner, token, self.inner)
            case "(":
                inner = self.inner()
                with self._newlines(False):
                    scanner.need(")", "a closing parenthesis is expected")
                return Parenthesized(scanner.span(token.span.start), inner)
            case "[":
                return self._tuple(token)
            case "{":
                return self._object(token)
            case "-" | "!":
                scanner.deeper()
                operand = self._traversed(self._term())
                scanner.shallower()
                return Unary(token.span.until(operand.span), token.kind, operand)
        raise failure(f"an expression is expected, but found {described(token)}", token.span)

    def _named(self, token: Token) -> Expression:
        scanner = self.scanner
        name = token.text
        while scanner.take("::") is not None:
            name += f"::{scanner.need('name', 'a function name is expected').text}"
        if scanner.peek().kind == "(":
            return self._call(name, token.span)
        if (constant := _CONSTANTS.get(name)) is not None:
            return Literal(token.span, constant)
        return Variable(token.span, name)

    def _call(self, name: str, start: Span) -> Expression:
        scanner = self.scanner
        arguments: list[Expression] = []
        expanded = False
        with self._newlines(False):
            scanner.read()
            while scanner.take(")") is None:
                arguments.append(self.expression())
                if scanner.take("...") is not None:
                    expanded = True
                    scanner.take(",")
                    scanner.need(")", "an expanded argument is the last one")
                    break
                if scanner.peek().kind != ")":
                    scanner.need(",", "a comma or a closing parenthesis is expected")
        return Call(scanner.span(start.start), name, tuple(arguments), expanded)

    def _tuple(self, start: Token) -> Expression:
        scanner = self.scanner
        elements: list[Expression] = []
        with self._newlines(False):
            if scanner.peek().text == "for":
                return self._for(start, "]")
            while scanner.take("]") is None:
                elements.append(self.expression())
                if scanner.peek().kind != "]":
                    scanner.need(",", "a comma or a closing bracket is expected")
        return TupleOf(scanner.span(start.span.start), tuple(elements))

    def _object(self, start: Token) -> Expression:
        scanner = self.scanner
        with self._newlines(False):
            if scanner.peek().text == "for":
                return self._for(start, "}")
        items: list[tuple[Expression, Expression]] = []
        with self._newlines(True):
            while True:
                if scanner.take("newline") is not None:
                    continue
                if scanner.take("}") is not None:
                    break
                key = self._key(self.expression())
                token = scanner.read()
                if token.kind not in ("=", ":"):
                    raise failure(
                        f'"=" is expected after a key, but found {described(token)}', token.span
                    )
                items.append((key, self.expression()))
                if scanner.peek().kind not in ("}", ",", "newline"):
                    found = scanner.peek()
                    raise failure(
                        f"a comma or a new line is expected, but found {described(found)}",
                        found.span,
                    )
                if scanner.take("}") is not None:
                    break
                scanner.read()
        return ObjectOf(scanner.span(start.span.start), tuple(items))

    def _key(self, key: Expression) -> Expression:
        """Bare names are keys themselves."""
        if name := keyword(key):
            return Literal(key.span, string(name))
        if isinstance(key, Attribute | Index):
            raise failure(
                "a key with a dot is ambiguous",
                key.span,
                hint="quote it, or put an expression in parentheses",
            )
        return key

    def _for(self, start: Token, end: str) -> Expression:
        scanner = self.scanner
        scanner.read()
        names = [scanner.need("name", "a for expression defines a name").text]
        if scanner.take(",") is not None:
            names.append(scanner.need("name", "a name is expected after the comma").text)
        self._word("in")
        collection = self.expression()
        scanner.need(":", "a colon is expected after the collection")
        value = self.expression()
        key, grouped = None, False
        if end == "}":
            scanner.need("=>", "a for expression in braces has a key and a value")
            key, value = value, self.expression()
            grouped = scanner.take("...") is not None
        condition = None
        if scanner.peek().text == "if":
            scanner.read()
            condition = self.expression()
        scanner.need(end, "the for expression should end here")
        key_name = names[0] if len(names) > 1 else ""
        span = scanner.span(start.span.start)
        return For(span, key_name, names[-1], collection, key, value, condition, grouped)

    def _word(self, word: str) -> None:
        token = self.scanner.read()
        if token.text != word:
            raise failure(f'"{word}" is expected, but found {described(token)}', token.span)

    def _traversed(self, source: Expression) -> Expression:
        """The operators after a term: attributes, indices and splats."""
        scanner = self.scanner
        start = source.span.start
        while True:
            if scanner.take(".") is not None:
                token = scanner.read()
                match token.kind:
                    case "name":
                        source = Attribute(scanner.span(start), source, token.text)
                    case "number":
                        source = Index(scanner.span(start), source, self._legacy(token))
                    case "*":
                        each = self._attributes(Item(token.span))
                        source = Splat(scanner.span(start), source, each)
                    case _:
                        raise failure("an attribute name is expected after a dot", token.span)
            elif scanner.peek().kind == "[":
                source = self._index(source, start)
            else:
                return source

    def _attributes(self, source: Expression) -> Expression:
        """The attributes after `.*`, which apply to each element."""
        scanner = self.scanner
        while scanner.take(".") is not None:
            token = scanner.read()
            if token.kind == "number":
                source = Index(scanner.span(source.span.start), source, self._legacy(token))
            elif token.kind == "name":
                source = Attribute(scanner.span(source.span.start), source, token.text)
            else:
                raise failure("an attribute name is expected after a dot", token.span)
        return source

    def _legacy(self, token: Token) -> Expression:
        """The index in `name.0`."""
        if not token.text.isdecimal():
            raise failure("two indices after dots: write them in brackets", token.span)
        return Literal(token.span, Value(NUMBER, parse_number(token.text)))

    def _index(self, source: Expression, start: int) -> Expression:
        scanner = self.scanner
        bracket = scanner.read()
        with self._newlines(False):
            if scanner.take("*") is not None:
                scanner.need("]", "a closing bracket is expected")
                marker = scanner.span(bracket.span.start)
            else:
                key = self.expression()
                scanner.need("]", "a closing bracket is expected")
                return Index(scanner.span(start), source, key)
        each = self._traversed(Item(marker))
        return Splat(scanner.span(start), source, each)
