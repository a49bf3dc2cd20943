"""Reads templates: quoted strings, heredocs, and texts of JSON files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.bake.hcl.scan import Scanner, described, heredoc_marker
from lamina.bake.hcl.syntax import failure
from lamina.bake.hcl.template import (
    Control,
    Interpolation,
    Part,
    Text,
    assembled,
    without_indentation,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamina.bake.hcl.scan import Token
    from lamina.bake.hcl.syntax import Expression, Span

_QUOTED = re.compile(r'(?:\\.|\$\$\{|%%\{|[^"\\$%\n]|\$(?!\{)|%(?!\{))+')
_BARE = re.compile(r"(?:\$\$\{|%%\{|[^$%]|\$(?!\{)|%(?!\{))+")
_LINE = re.compile(r"(?:\$\$\{|%%\{|[^$%\n]|\$(?!\{)|%(?!\{))*\n?")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)|(\$\$|%%)(?=\{)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_DOUBLED = re.compile(r"(\$\$|%%)(?=\{)")


def quoted(scanner: Scanner, start: Token, expression: Callable[[], Expression]) -> Expression:
    """The template after a quote, up to the closing quote."""
    reader = _Reader(scanner, expression)
    while True:
        text = _match(_QUOTED, scanner)
        if text:
            reader.text(_unescaped(text, scanner.span(scanner.position - len(text))))
            continue
        if scanner.text.startswith('"', scanner.position):
            scanner.position += 1
            return assembled(reader.parts, scanner.span(start.span.start))
        if not reader.sequence():
            raise failure(
                "this string has no closing quote",
                start.span,
                hint="write a text of several lines as a heredoc: <<EOT",
            )


def heredoc(scanner: Scanner, start: Token, expression: Callable[[], Expression]) -> Expression:
    """The template after `<<MARKER`, up to the line with the marker."""
    marker, indented = heredoc_marker(start)
    closing = re.compile(rf"[ \t]*{re.escape(marker)}[ \t]*(?=\r?\n|\Z)")
    reader = _Reader(scanner, expression)
    at_line_start = True
    while True:
        if at_line_start and (end := closing.match(scanner.text, scanner.position)) is not None:
            break
        text = _match(_LINE, scanner)
        if text:
            reader.text(_DOUBLED.sub(_single, text))
            at_line_start = text.endswith("\n")
        elif reader.sequence():
            at_line_start = False
        else:
            raise failure(f"this heredoc has no line {marker} that ends it", start.span)
    scanner.position = end.end()
    parts = without_indentation(reader.parts) if indented else reader.parts
    return assembled(parts, scanner.span(start.span.start))


def template_text(scanner: Scanner, expression: Callable[[], Expression]) -> Expression:
    """A whole text."""
    start = scanner.position
    reader = _Reader(scanner, expression)
    while scanner.position < len(scanner.text):
        text = _match(_BARE, scanner)
        if text:
            reader.text(_DOUBLED.sub(_single, text))
        else:
            reader.sequence()
    return assembled(reader.parts, scanner.span(start))


class _Reader:
    """Collects the parts of a template, and strips white space at `~`."""

    def __init__(self, scanner: Scanner, expression: Callable[[], Expression]) -> None:
        self.parts: list[Part] = []
        self._scanner = scanner
        self._expression = expression
        self._strip_next = False

    def text(self, text: str) -> None:
        if self._strip_next:
            text = text.lstrip()
            self._strip_next = False
        span = self._scanner.span(self._scanner.position - len(text))
        self.parts.append(Text(span, text))

    def sequence(self) -> bool:
        """Read `${…}` or `%{…}`. False if there is none."""
        scanner = self._scanner
        start = scanner.position
        opening = scanner.text[start : start + 2]
        if opening not in ("${", "%{"):
            return False
        scanner.position += 2
        scanner.deeper()
        if scanner.text.startswith("~", scanner.position):
            scanner.position += 1
            if self.parts and isinstance(last := self.parts[-1], Text):
                self.parts[-1] = last._replace(text=last.text.rstrip())
        self._strip_next = False
        if opening == "${":
            inner = self._expression()
            self._close(scanner.span(start))
            self.parts.append(Interpolation(scanner.span(start), inner))
        else:
            self._control(start)
        scanner.shallower()
        return True

    def _control(self, start: int) -> None:
        scanner = self._scanner
        before, scanner.newlines = scanner.newlines, False
        word = scanner.read()
        names = ("", "")
        expression = None
        match word.text:
            case "if":
                expression = self._expression()
            case "for":
                name = scanner.need("name", "for defines a name").text
                names = ("", name)
                if scanner.take(",") is not None:
                    names = (name, scanner.need("name", "a name is expected").text)
                token = scanner.read()
                if token.text != "in":
                    raise failure(f'"in" is expected, but found {described(token)}', token.span)
                expression = self._expression()
            case "else" | "endif" | "endfor":
                pass
            case _:
                raise failure(f"there is no template directive {described(word)}", word.span)
        scanner.newlines = before
        self._close(scanner.span(start))
        self.parts.append(Control(scanner.span(start), word.text, expression, names))

    def _close(self, opened: Span) -> None:
        scanner = self._scanner
        match = _CLOSING.match(scanner.text, scanner.position)
        if match is None:
            raise failure(
                "a closing brace is expected after this expression",
                opened,
                hint="write $${ or %%{ if the text is not for this file to evaluate",
            )
        scanner.position = match.end()
        self._strip_next = bool(match[1])


_CLOSING = re.compile(r"\s*(~?)\}")


def _match(pattern: re.Pattern[str], scanner: Scanner) -> str:
    match = pattern.match(scanner.text, scanner.position)
    if match is None:
        return ""
    scanner.position = match.end()
    return match[0]


def _unescaped(text: str, span: Span) -> str:
    def replaced(match: re.Match[str]) -> str:
        if match[2]:
            return match[2][0]
        escape = match[1]
        if (known := _ESCAPED.get(escape)) is not None:
            return known
        code = int(escape[1:], 16) if len(escape) > 1 else 0x110000
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            at = span.start + match.start()
            where = span._replace(start=at, end=at + len(match[0]))
            raise failure(f"{match[0]} is no escape sequence", where)
        return chr(code)

    return _ESCAPE.sub(replaced, text)


def _single(match: re.Match[str]) -> str:
    return match[1][0]
