"""Functions on strings."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from lamina.bake.evaluate.scope import Parameter
from lamina.bake.functions.define import TEXTS, fixed, number, open_ended, text, whole_argument
from lamina.bake.functions.graphemes import clusters
from lamina.bake.values.value import STRING, Value, list_value, string, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamina.bake.evaluate.scope import Function

_SPACE = " \t\n\v\f\r\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
_SPACE += "\u200a\u2028\u2029\u202f\u205f\u3000"
"""White space as Go's `unicode.IsSpace` has it."""


def _changed(change: Callable[[str], str]) -> Function:
    return fixed(lambda value: string(change(value.text)), text("string"))


def _base_name(path: str) -> str:
    if not path:
        return "."
    return path.rstrip("/").rpartition("/")[2] or "/"


def _directory(path: str) -> str:
    head = path.rpartition("/")[0] + ("/" if "/" in path else "")
    cleaned = posixpath.normpath(head) if head else "."
    return "/" if cleaned == "//" else cleaned


def _title(given: str) -> str:
    """As Go's `strings.Title`: letters after anything but letters, digits and underscores."""
    found: list[str] = []
    previous = " "
    for char in given:
        found.append(_upper_letter(char) if _separates(previous) else char)
        previous = char
    return "".join(found)


def _separates(char: str) -> bool:
    if char.isascii():
        return not (char.isalnum() or char == "_")
    return not char.isalnum() and char in _SPACE


def _upper_letter(char: str) -> str:
    upper = char.title()
    return upper if len(upper) == 1 else char


def _upper(given: str) -> str:
    return "".join(map(_upper_letter_plain, given))


def _upper_letter_plain(char: str) -> str:
    upper = char.upper()
    return upper if len(upper) == 1 else char


def _lower(given: str) -> str:
    return "".join(lower if len(lower := char.lower()) == 1 else char for char in given)


def _substring(value: Value, start: Value, count: Value) -> Value:
    characters = clusters(value.text)
    offset = whole_argument(start, "offset")
    length = whole_argument(count, "length")
    if offset < 0:
        offset = max(offset + len(characters), 0)
    elif length == 0:
        return string("")
    characters = characters[offset:]
    return string("".join(characters if length < 0 or not length else characters[:length]))


def _indent(spaces: Value, value: Value) -> Value:
    width = whole_argument(spaces, "spaces")
    if not 0 <= width <= 10_000:
        raise ValueError("spaces must be between 0 and 10000")
    return string(value.text.replace("\n", "\n" + " " * width))


def _split(separator: Value, value: Value) -> Value:
    parts = value.text.split(separator.text) if separator.text else list(value.text)
    return list_value(STRING, map(string, parts))


def _join(values: Sequence[Value]) -> Value:
    separator, *lists = values
    if not lists:
        raise ValueError("at least one list is needed")
    words = [word for each in lists for word in each.elements]
    if any(word.is_null for word in words):
        raise ValueError("an element is null")
    return string(separator.text.join(word.text for word in words))


def _sort(values: Value) -> Value:
    if any(value.is_null for value in values.elements):
        raise ValueError("an element is null")
    return list_value(STRING, sorted(values.elements, key=lambda value: value.text.encode()))


def _trim_prefix(value: Value, prefix: Value) -> Value:
    return string(value.text.removeprefix(prefix.text))


def _trim_suffix(value: Value, suffix: Value) -> Value:
    return string(value.text.removesuffix(suffix.text))


FUNCTIONS = {
    "basename": _changed(_base_name),
    "chomp": _changed(lambda given: re.sub(r"(?:\r\n?|\n)*\Z", "", given)),
    "dirname": _changed(_directory),
    "indent": fixed(_indent, number("spaces"), text("string")),
    "join": open_ended(_join, text("separator"), rest=Parameter("lists", TEXTS)),
    "lower": _changed(_lower),
    "replace": fixed(
        lambda value, old, new: string(value.text.replace(old.text, new.text)),
        *(text("string"), text("substring"), text("replacement")),
    ),
    "reverse": _changed(lambda given: "".join(reversed(clusters(given)))),
    "sanitize": _changed(lambda given: re.sub(r"[^a-zA-Z0-9_-]", "_", given)),
    "sort": fixed(_sort, Parameter("list", TEXTS)),
    "split": fixed(_split, text("separator"), text("string")),
    "strlen": fixed(lambda value: whole(len(clusters(value.text))), text("string")),
    "substr": fixed(_substring, text("string"), number("offset"), number("length")),
    "title": _changed(_title),
    "trim": fixed(
        lambda value, cut: string(value.text.strip(cut.text) if cut.text else value.text),
        *(text("string"), text("cutset")),
    ),
    "trimprefix": fixed(_trim_prefix, text("string"), text("prefix")),
    "trimspace": _changed(lambda given: given.strip(_SPACE)),
    "trimsuffix": fixed(_trim_suffix, text("string"), text("suffix")),
    "upper": _changed(_upper),
}
