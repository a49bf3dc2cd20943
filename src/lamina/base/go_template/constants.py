"""The values of constants in templates, which are Go's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.base.go_template.errors import Malformed

if TYPE_CHECKING:
    from lamina.base.go_template.lexer import Token

_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL
)
_SHORT = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
}
_FLOAT = re.compile(r"[+-]?(?:[0-9_]+\.?[0-9_]*|\.[0-9_]+)(?:[eE][+-]?[0-9_]+)?")
_OCTAL = re.compile(r"([+-]?)0([0-7_]+)")
_LIMIT = 1 << 63
_SURROGATES = range(0xD800, 0xE000)


def string_value(token: Token) -> str:
    """Raises Malformed."""
    if token.kind == "raw":
        return token.text[1:-1].replace("\r", "")
    return _unescaped(token, '"')


def char_value(token: Token) -> int:
    """The code of a character. Raises Malformed."""
    text = _unescaped(token, "'")
    if len(text) != 1:
        raise Malformed(f"malformed character constant: {token.text}", token.at)
    return ord(text)


def number_value(token: Token) -> int | float:
    """Raises Malformed."""
    text = token.text
    try:
        octal = _OCTAL.fullmatch(text)
        value = int(octal[1] + octal[2].strip("_"), 8) if octal is not None else int(text, 0)
    except ValueError:
        return _float(token)
    if not -_LIMIT <= value < 2 * _LIMIT:
        raise Malformed(f"integer overflow: {text}", token.at)
    return value


def _float(token: Token) -> float:
    text = token.text
    value: float | None = None
    try:
        if _FLOAT.fullmatch(text):
            value = float(text)
        elif "p" in text.lower() and "x" in text.lower():
            value = float.fromhex(text.replace("_", ""))
    except (ValueError, OverflowError):
        value = None
    if value is None or value in (float("inf"), float("-inf")):
        raise Malformed(f'bad number syntax: "{text}"', token.at)
    return value


def _unescaped(token: Token, quote: str) -> str:
    """Bytes that are no UTF-8 become surrogates, as in Python's names of files."""
    raw = bytearray()
    at = 0
    inner = token.text[1:-1]
    for match in _ESCAPE.finditer(inner):
        raw += inner[at : match.start()].encode("utf-8", "surrogateescape")
        byte, four, eight, octal, short = match.groups()
        if byte or octal:
            value = int(byte, 16) if byte else int(octal, 8)
            if value > 0xFF:
                raise Malformed(f"invalid syntax: {token.text}", token.at)
            # In a character constant the value is a code, in a string a byte.
            raw += chr(value).encode() if quote == "'" else bytes((value,))
        elif four or eight:
            code = int(four or eight, 16)
            if code > 0x10FFFF or code in _SURROGATES:
                raise Malformed(f"invalid syntax: {token.text}", token.at)
            raw += chr(code).encode()
        elif short in _SHORT or short == quote:
            raw += _SHORT.get(short, short).encode()
        else:
            raise Malformed(f"invalid syntax: {token.text}", token.at)
        at = match.end()
    raw += inner[at:].encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "surrogateescape")
