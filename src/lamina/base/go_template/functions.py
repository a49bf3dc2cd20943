"""The functions of templates: those of Go's `text/template`, and those that docker adds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from lamina.base.go_template.errors import WrongArguments
from lamina.base.go_template.printing import (
    Struct,
    is_list,
    show,
    sprint,
    sprintf,
    sprintln,
    type_name,
)

TemplateFunction: TypeAlias = "Callable[..., Any]"
"""Takes values in order. Raises WrongArguments."""

_HTML = {"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"}
_JS = {
    "\\": "\\\\",
    "'": "\\'",
    '"': '\\"',
    "<": "\\u003C",
    ">": "\\u003E",
    "&": "\\u0026",
    "=": "\\u003D",
}


def truth(value: Any) -> bool:
    """Whether a value is neither zero nor empty."""
    if isinstance(value, Struct):
        return True
    return bool(value) if not isinstance(value, Mapping) else len(value) > 0


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogateescape"))
    if is_list(value) or _is_map(value):
        return len(value)
    raise WrongArguments(f"len of type {type_name(value)}")


def _index(value: Any, *indexes: Any) -> Any:
    for index in indexes:
        if _is_map(value):
            value = value.get(_text(index))
        elif is_list(value) or isinstance(value, str):
            items = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
            value = items[_position(index, len(items) - 1)]
        elif value is None:
            raise WrongArguments("index of untyped nil")
        else:
            raise WrongArguments(f"can't index item of type {type_name(value)}")
    return value


def _slice(value: Any, *indexes: Any) -> Any:
    if not (is_list(value) or isinstance(value, str)):
        raise WrongArguments(f"can't slice item of type {type_name(value)}")
    if len(indexes) > 3 or (isinstance(value, str) and len(indexes) == 3):
        raise WrongArguments(f"too many slice indexes: {len(indexes)}")
    items = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    bounds = [_position(index, len(items)) for index in indexes]
    first, last = ([*bounds, 0])[0], ([*bounds[1:2], len(items)])[0]
    if first > last or (len(bounds) == 3 and bounds[2] < last):
        raise WrongArguments(f"invalid slice index: {first} > {last}")
    part = items[first:last]
    return part.decode("utf-8", "surrogateescape") if isinstance(part, bytes) else part


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise WrongArguments("missing argument for comparison")
    return any(_is_equal(first, other) for other in others)


def _not_equal(first: Any, second: Any) -> bool:
    return not _is_equal(first, second)


def _less(first: Any, second: Any) -> bool:
    kind = _comparable(first)
    if kind is None or kind is bool:
        raise WrongArguments("invalid type for comparison")
    if _comparable(second) is not kind:
        raise WrongArguments("incompatible types for comparison")
    less: bool = first < second
    return less


def _is_equal(first: Any, second: Any) -> bool:
    if first is None or second is None:
        return first is second
    one, other = _comparable(first), _comparable(second)
    if one is None or other is None:
        raise WrongArguments(f"non-comparable type {type_name(first if one is None else second)}")
    if one is not other:
        raise WrongArguments("incompatible types for comparison")
    return bool(first == second)


def _comparable(value: Any) -> type | None:
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind
    return None


def _html(*values: Any) -> str:
    return "".join(_HTML.get(character, character) for character in _joined(values))


def _js(*values: Any) -> str:
    return "".join(
        _JS.get(c) or (c if c.isprintable() else f"\\u{ord(c):04X}") for c in _joined(values)
    )


def _urlquery(*values: Any) -> str:
    from urllib.parse import quote_plus

    return quote_plus(_joined(values).encode("utf-8", "surrogateescape"), safe="~")


def _joined(values: tuple[Any, ...]) -> str:
    return values[0] if len(values) == 1 and isinstance(values[0], str) else sprint(values)


def _json(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))


def json_indented(value: Any) -> str:
    """`json` of `docker buildx imagetools inspect`."""
    return json.dumps(plain(value), ensure_ascii=False, indent=2)


def plain(value: Any) -> Any:
    """With dicts for mappings of other types, which `json` does not take."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if is_list(value) else value


def _split(value: Any, separator: Any) -> list[str]:
    text, between = _text(value), _text(separator)
    return text.split(between) if between else list(text)


def _join(values: Any, separator: Any) -> str:
    if values is None:
        return ""
    if not is_list(values):
        raise WrongArguments(f"wrong type for value; expected []string; got {type_name(values)}")
    return _text(separator).join(map(_text, values))


def _title(value: Any) -> str:
    text, before = "", " "
    for character in _text(value):
        separated = not (before.isalnum() or before in "_'")
        text += character.title() if separated else character
        before = character
    return text


def _pad(value: Any, before: Any, after: Any) -> str:
    text = _text(value)
    return " " * _whole(before) + text + " " * _whole(after) if text else text


def _truncate(value: Any, length: Any) -> str:
    data = _text(value).encode("utf-8", "surrogateescape")
    return data[: _whole(length)].decode("utf-8", "replace")


def _printf(form: Any, *values: Any) -> str:
    return sprintf(_text(form), values)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise WrongArguments(f"wrong type for value; expected string; got {type_name(value)}")


def _whole(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    what = show(value) if isinstance(value, int) else type_name(value)
    raise WrongArguments(f"wrong type for value; expected a number; got {what}")


def _position(value: Any, largest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise WrongArguments(f"cannot index slice/array with type {type_name(value)}")
    if not 0 <= value <= largest:
        raise WrongArguments(f"index out of range: {value}")
    return value


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping) and not isinstance(value, Struct)


LAZY = ("and", "or")
"""Functions whose later arguments are evaluated only if they matter; the evaluator calls them."""

BUILTINS: Mapping[str, TemplateFunction] = {
    "not": lambda value: not truth(value),
    "len": _length,
    "index": _index,
    "slice": _slice,
    "print": lambda *values: sprint(values),
    "printf": _printf,
    "println": lambda *values: sprintln(values),
    "html": _html,
    "js": _js,
    "urlquery": _urlquery,
    "eq": _equal,
    "ne": _not_equal,
    "lt": _less,
    "le": lambda a, b: _less(a, b) or _is_equal(a, b),
    "gt": lambda a, b: not (_less(a, b) or _is_equal(a, b)),
    "ge": lambda a, b: not _less(a, b),
}
"""The functions of `text/template`, without `call`: values are no functions."""

DOCKER: Mapping[str, TemplateFunction] = {
    "json": _json,
    "split": _split,
    "join": _join,
    "title": _title,
    "lower": lambda value: _text(value).lower(),
    "upper": lambda value: _text(value).upper(),
    "pad": _pad,
    "truncate": _truncate,
}
"""The functions of `docker … --format` (docker's `templates` package)."""
