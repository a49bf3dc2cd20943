"""Tokens of HCL, read one at a time: quotes and heredocs are templates, not tokens."""

from __future__ import annotations

import re

from lamina.bake.hcl.syntax import Source, Span, failure
from lamina.base.named_tuple import NamedTuple

_BLANK = re.compile(r"(?:[ \t]|\r(?=\n)|/\*.*?\*/)*", re.DOTALL)
_LINE_COMMENT = re.compile(r"(?:#|//)[^\n]*")
_NAME = re.compile(r"[^\W\d][\w-]*")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_HEREDOC = re.compile(r"<<(-?)([^\W\d][\w-]*)\r?\n")
_SYMBOL = re.compile(r"\.\.\.|=>|==|!=|<=|>=|&&|\|\||::|[{}()\[\],.:?=+\-*/%!<>~\"]")
_DEEPEST = 250
"""Levels of nesting, which Python's own stack allows for."""


class Token(NamedTuple):
    """`kind` is name, number, heredoc, newline, end, or the symbol itself."""

    kind: str
    text: str
    span: Span


class Scanner:
    """Reads tokens. Newlines are tokens only while `newlines` is on: in bodies and objects."""

    def __init__(self, source: Source, start: int = 0, end: int | None = None) -> None:
        self.source = source
        self.text = source.text if end is None else source.text[:end]
        self.position = start
        self.newlines = True
        self._depth = 0
        self._ahead: tuple[int, bool, Token] | None = None

    def peek(self) -> Token:
        """The next token. Raises InvalidInput for a character that starts none."""
        if self._ahead is not None and self._ahead[:2] == (self.position, self.newlines):
            return self._ahead[2]
        token = self._scan()
        self._ahead = (self.position, self.newlines, token)
        return token

    def read(self) -> Token:
        token = self.peek()
        self.position = token.span.end
        return token

    def take(self, kind: str) -> Token | None:
        """Read the next token if it is of that kind."""
        return self.read() if self.peek().kind == kind else None

    def need(self, kind: str, what: str) -> Token:
        """Read a token of that kind. Raises InvalidInput if the next one is another."""
        token = self.peek()
        if token.kind != kind:
            raise failure(f"{what}, but found {described(token)}", token.span)
        return self.read()

    def deeper(self) -> None:
        """Enter an inner expression or block. Raises InvalidInput if there are too many."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise failure(f"nested more than {_DEEPEST} levels deep", self.span(self.position))

    def shallower(self) -> None:
        self._depth -= 1

    def span(self, start: int, end: int | None = None) -> Span:
        return Span(self.source, start, self.position if end is None else end)

    def _scan(self) -> Token:
        text, position = self.text, self.position
        while True:
            position = _end(_BLANK, text, position)
            if position < len(text) and text[position] == "\n":
                if self.newlines:
                    return self._token("newline", position, position + 1)
                position += 1
            elif (comment := _LINE_COMMENT.match(text, position)) is not None:
                position = comment.end()
            else:
                break
        if position >= len(text):
            return self._token("end", position, position)
        for kind, pattern in (("name", _NAME), ("number", _NUMBER), ("heredoc", _HEREDOC)):
            if (match := pattern.match(text, position)) is not None:
                return self._token(kind, position, match.end())
        if (match := _SYMBOL.match(text, position)) is not None:
            return self._token(match[0], position, match.end())
        if text.startswith("/*", position):
            raise failure("this comment has no end", self.span(position, position + 2))
        what = _MISTAKES.get(text[position], "this character is not allowed here")
        raise failure(f"{what}: {text[position]!r}", self.span(position, position + 1))

    def _token(self, kind: str, start: int, end: int) -> Token:
        return Token(kind, self.text[start:end], self.span(start, end))


_MISTAKES = {
    "'": "strings need double quotes",
    "`": "strings need double quotes",
    ";": "newlines separate arguments, not semicolons",
    "&": "the operator is &&",
    "|": "the operator is ||",
}


def heredoc_marker(token: Token) -> tuple[str, bool]:
    """The word that ends a heredoc, and whether indentation is removed (`<<-`)."""
    match = _HEREDOC.fullmatch(token.text)
    assert match is not None
    return match[2], bool(match[1])


def described(token: Token) -> str:
    """A token in a message."""
    match token.kind:
        case "end":
            return "the end of the file"
        case "newline":
            return "the end of the line"
        case "heredoc":
            return "a heredoc"
    return f'"{token.text}"' if token.text != '"' else "a string"


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return position if match is None else match.end()
