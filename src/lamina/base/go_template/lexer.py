"""The tokens of a template: text, and what is within `{{` and `}}`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.base.go_template.errors import Malformed
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEFT, _RIGHT = "{{", "}}"
_SPACES = " \t\r\n"
_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<declare>:=)|(?P<assign>=)|(?P<pipe>\|)|(?P<comma>,)|(?P<open>\()|(?P<close>\))"
    r'|(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<raw>`[^`]*`)'
    r"|(?P<char>'(?:[^'\\\n]|\\.)+')"
    r"|(?P<number>[+-]?(?:\.[0-9]|[0-9])(?:[eEpP][+-]|\w|\.)*)"
    r"|(?P<field>\.[^\W\d]\w*)|(?P<dot>\.)|(?P<variable>\$\w*)|(?P<word>[^\W\d]\w*)"
)
_JOINED = ("word", "field", "variable")
_AFTER = frozenset(" \t\r\n.,|:)(=")
"""What may follow a name or a number; so may the end of the action."""


class Token(NamedTuple):
    """`kind` is `text`, `begin`, `end`, or that of a group of `_TOKEN`."""

    kind: str
    text: str
    at: int


def tokens(template: str) -> Iterator[Token]:
    """The tokens of a template; comments and trimmed spaces are left out. Raises Malformed."""
    at = 0
    trim = False
    while True:
        begin = template.find(_LEFT, at)
        text = template[at:] if begin < 0 else template[at:begin]
        if trim:
            text = text.lstrip(_SPACES)
        inner = begin + len(_LEFT)
        if begin >= 0 and _trims(template, inner):
            text = text.rstrip(_SPACES)
            inner += 2
        if text:
            yield Token("text", text, at)
        if begin < 0:
            return
        if template.startswith("/*", inner):
            at, trim = _comment(template, begin, inner)
            continue
        yield Token("begin", _LEFT, begin)
        for token in _action(template, begin, inner):
            yield token
            at = token.at + len(token.text)
            trim = token.text == f"-{_RIGHT}"


def _trims(template: str, at: int) -> bool:
    return template.startswith("-", at) and template[at + 1 : at + 2] in tuple(_SPACES)


def _comment(template: str, begin: int, at: int) -> tuple[int, bool]:
    """The place after a comment, and whether the text there is trimmed."""
    end = template.find("*/", at + 2)
    if end < 0:
        raise Malformed("unclosed comment", begin)
    end += 2
    if template.startswith(_RIGHT, end):
        return end + len(_RIGHT), False
    if template[end : end + 1] in tuple(_SPACES) and template.startswith(f"-{_RIGHT}", end + 1):
        return end + 2 + len(_RIGHT), True
    raise Malformed("comment ends before closing delimiter", begin)


def _action(template: str, begin: int, at: int) -> Iterator[Token]:
    while True:
        if template.startswith(_RIGHT, at):
            yield Token("end", _RIGHT, at)
            return
        if template[at : at + 1] in tuple(_SPACES) and template.startswith(f"-{_RIGHT}", at + 1):
            yield Token("end", f"-{_RIGHT}", at + 1)
            return
        if at >= len(template):
            raise Malformed("unclosed action", begin)
        match = _TOKEN.match(template, at)
        if match is None or match.lastgroup is None:
            raise Malformed(_unexpected(template, at), at)
        kind, text = match.lastgroup, match.group()
        if kind == "space" and template.startswith(f"-{_RIGHT}", match.end()):
            at = match.end() - 1  # the last space belongs to the delimiter
            if len(text) > 1:
                yield Token("space", text[:-1], match.start())
            continue
        after = template[match.end() : match.end() + 1] or " "
        if kind in _JOINED and after not in _AFTER and not template.startswith(_RIGHT, match.end()):
            raise Malformed(f'bad character "{after}" after "{text}"', match.end())
        yield Token(kind, text, at)
        at = match.end()


def _unexpected(template: str, at: int) -> str:
    match template[at]:
        case '"':
            return "unterminated quoted string"
        case "`":
            return "unterminated raw quoted string"
        case "'":
            return "unterminated character constant"
        case ":":
            return "expected :="
        case character:
            return f'unexpected character "{character}" in command'
