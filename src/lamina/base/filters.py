r"""containerd's filter language (its package `filters`), which BuildKit's API takes.

    filter   = selector *( "," selector )          all must hold
    selector = path [ operator value ]             without a value: the field exists
    path     = field *( "." field )
    field    = letters, digits and "_", or quoted
    operator = "==" | "!=" | "~="                  ~= searches a regular expression
    value    = anything up to a comma or a space, or quoted
    quoted   = a Go string in "…"; as a regular expression also |…| or /…/

An empty text matches everything; of several filters one must match.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput
from lamina.base.go_regexp import compile_regexp, searchable
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Fields = Callable[[tuple[str, ...]], str | None]
    """Looks up a path: its value, or None if the field does not exist (or is false)."""

_FIELD = re.compile(r"[A-Za-z0-9_]+")
_OPERATOR = re.compile(r"[=!~]+")
_VALUE = re.compile(r"[^,\s\x00-\x1f\x7f]+")
_SPACE = re.compile(r"\s*")
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_DIGITS = {"x": (2, 16), "u": (4, 16), "U": (8, 16)}


class Selector(NamedTuple):
    """One condition. `operator` "" checks whether the field exists."""

    path: tuple[str, ...]
    operator: str = ""
    value: str = ""
    pattern: Any = None

    def matches(self, fields: Fields) -> bool:
        found = fields(self.path)
        match self.operator:
            case "":
                return found is not None
            case "==":
                return found is not None and found == self.value
            case "!=":
                return found is None or found != self.value
            case _:
                return self.pattern is not None and bool(
                    self.pattern.search(searchable(found or ""))
                )


class Filter(NamedTuple):
    """Alternatives of conditions that must all match. Without alternatives everything matches."""

    alternatives: tuple[tuple[Selector, ...], ...] = ()

    def matches(self, fields: Fields) -> bool:
        if not self.alternatives:
            return True
        return any(all(s.matches(fields) for s in each) for each in self.alternatives)


def parse_filters(texts: Iterable[str]) -> Filter:
    """Parse filters. Raises InvalidInput."""
    return Filter(tuple(_Parser(text).selectors() for text in texts))


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def selectors(self) -> tuple[Selector, ...]:
        if not self._text:
            return ()
        found = [self._selector()]
        while not self._end():
            if self._text[self._at] != ",":
                raise self._wrong("unexpected input")
            self._at += 1
            found.append(self._selector())
        return tuple(found)

    def _selector(self) -> Selector:
        path = [self._field()]
        while self._next() == ".":
            self._at += 1
            path.append(self._field())
        if self._next() in ("", ","):
            return Selector(tuple(path))
        operator = self._take(_OPERATOR)
        if operator not in ("==", "!=", "~="):
            raise self._wrong('expected an operator ("=="|"!="|"~=")')
        value = self._value(operator == "~=")
        if operator != "~=":
            return Selector(tuple(path), operator, value)
        try:
            return Selector(tuple(path), operator, value, compile_regexp(value))
        except InvalidInput as error:
            raise self._wrong(error.reason) from None

    def _field(self) -> str:
        if self._next() == '"':
            return self._quoted()
        field = self._take(_FIELD)
        if not field:
            raise self._wrong("expected field or quoted")
        return field

    def _value(self, pattern: bool) -> str:
        quote = self._next()
        if quote == '"' or (pattern and quote in ("|", "/")):
            return self._quoted()
        value = self._take(_VALUE)
        if not value or (value[0] in "|/" and not pattern):
            raise self._wrong("expected value or quoted")
        return value

    def _quoted(self) -> str:
        quote = self._text[self._at]
        self._at += 1
        out: list[str] = []
        while True:
            character = self._text[self._at : self._at + 1]
            if not character or character == "\n":
                raise self._wrong("quoted literal not terminated")
            self._at += 1
            if character == quote:
                return "".join(out)
            out.append(self._escape(quote) if character == "\\" else character)

    def _escape(self, quote: str) -> str:
        letter = self._text[self._at : self._at + 1]
        self._at += 1
        if letter and letter in _SIMPLE:
            return _SIMPLE[letter]
        if letter in ("\\", quote):
            return letter
        if quote != '"':
            return f"\\{letter}"  # the regular expression's own escape
        count, base = _DIGITS.get(letter, (3, 8))
        if base == 8:
            self._at -= 1
        digits = self._text[self._at : self._at + count]
        try:
            if len(digits) != count or not digits.isalnum():
                raise ValueError
            character = chr(int(digits, base))
        except (ValueError, OverflowError):
            raise self._wrong("illegal escape sequence") from None
        self._at += count
        return character

    def _next(self) -> str:
        """The next character that is not a space, "" at the end."""
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._text[self._at : self._at + 1]

    def _end(self) -> bool:
        return not self._next()

    def _take(self, pattern: re.Pattern[str]) -> str:
        self._next()
        match = pattern.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match.group()

    def _wrong(self, message: str) -> InvalidInput:
        return InvalidInput(f"filter {self._text!r}: at {self._at}: {message}")
