"""Functions for regular expressions, in the language of Go's `regexp` (RE2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lamina.bake.functions.define import fixed, text
from lamina.bake.values.value import (
    STRING,
    Type,
    Value,
    list_value,
    null,
    object_of,
    object_value,
    string,
    tuple_value,
)
from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

_REFERENCE = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))")


def _compiled(pattern: str) -> Any:
    from lamina.base.go_regexp import compile_regexp

    try:
        return compile_regexp(pattern)
    except InvalidInput as error:
        raise ValueError(error.reason) from None


def _result_type(compiled: Any) -> Type:
    named = len(compiled.groupindex)
    if named and named < compiled.groups:
        raise ValueError("the pattern has groups with and without names")
    if named:
        return object_of(dict.fromkeys(compiled.groupindex, STRING))
    return Type("tuple", items=(STRING,) * compiled.groups) if compiled.groups else STRING


def _result(compiled: Any, match: Any) -> Value:
    if compiled.groupindex:
        return object_value({name: _group(match, name) for name in compiled.groupindex})
    if compiled.groups:
        return tuple_value(_group(match, index + 1) for index in range(compiled.groups))
    return string(match.group())


def _group(match: Any, name: int | str) -> Value:
    found = match.group(name)
    return null(STRING) if found is None else string(found)


def _first(pattern: Value, value: Value) -> Value:
    compiled = _compiled(pattern.text)
    _result_type(compiled)
    match = compiled.search(value.text)
    if match is None:
        raise ValueError("the pattern matches no part of the string")
    return _result(compiled, match)


def _all(pattern: Value, value: Value) -> Value:
    compiled = _compiled(pattern.text)
    kind = _result_type(compiled)
    return list_value(kind, (_result(compiled, match) for match in compiled.finditer(value.text)))


def _replaced(value: Value, pattern: Value, replacement: Value) -> Value:
    compiled = _compiled(pattern.text)
    return string(compiled.sub(_expander(replacement.text), value.text))


def _expander(template: str) -> Callable[[Any], str]:
    """Expands `$1`, `${name}` and `$$` of a replacement for a match."""

    def expand(match: Any) -> str:
        def reference(found: re.Match[str]) -> str:
            name = found[1] or found[2]
            if not name:
                return "$"
            try:
                return match.group(int(name) if name.isdecimal() else name) or ""
            except (IndexError, KeyError):
                return ""

        return _REFERENCE.sub(reference, template)

    return expand


FUNCTIONS = {
    "regex": fixed(_first, text("pattern"), text("string")),
    "regex_replace": fixed(_replaced, text("string"), text("pattern"), text("replacement")),
    "regexall": fixed(_all, text("pattern"), text("string")),
}
