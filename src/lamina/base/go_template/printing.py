"""Values as Go's package `fmt` prints them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from lamina.base.gotext import quote

if TYPE_CHECKING:
    from collections.abc import Callable

_VERB = re.compile(
    r"%(?P<flags>[-+# 0]*)(?P<width>\d+)?(?:\.(?P<precision>\d*))?(?P<verb>.?)", re.S
)
_LIMIT = 1 << 20
"""The widest field, as in Go."""
_SMALLEST, _LARGEST = -4, 6
"""Exponents between which `%v` writes floats without one."""


class Struct(dict[str, Any]):
    """A mapping that prints as a Go struct, and has no fields but these."""


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def type_name(value: object) -> str:
    """The type that the value would have in Go."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float64"
        case str():
            return "string"
        case Struct():
            return "struct"
        case Mapping():
            return "map[string]interface {}"
    return "[]interface {}"


def show(value: object, *, named: bool = False) -> str:
    """`%v`; with `named` `%+v`, which names the fields of structs."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case float():
            return _float(value)
        case Struct():
            fields = (
                f"{key}:{show(item, named=True)}" if named else show(item)
                for key, item in value.items()
            )
            return "{" + " ".join(fields) + "}"
        case Mapping():
            pairs = (f"{show(key)}:{show(value[key], named=named)}" for key in sorted(value))
            return "map[" + " ".join(pairs) + "]"
    if is_list(value):
        return "[" + " ".join(show(item, named=named) for item in value) + "]"
    return str(value)


def sprint(values: Sequence[object]) -> str:
    """`fmt.Sprint`: a space between two values neither of which is a string."""
    parts: list[str] = []
    for index, value in enumerate(values):
        if index and not (isinstance(value, str) or isinstance(values[index - 1], str)):
            parts.append(" ")
        parts.append(show(value))
    return "".join(parts)


def sprintln(values: Sequence[object]) -> str:
    """`fmt.Sprintln`."""
    return " ".join(map(show, values)) + "\n"


def sprintf(form: str, values: Sequence[object]) -> str:
    """`fmt.Sprintf`, without `*` and argument indexes. What does not fit is shown as Go does."""
    used = 0

    def one(match: re.Match[str]) -> str:
        nonlocal used
        verb = match["verb"]
        if verb == "%":
            return "%"
        if not verb:
            return "%!(NOVERB)"
        if used >= len(values):
            return f"%!{verb}(MISSING)"
        value = values[used]
        used += 1
        return _formatted(match, value)

    text = _VERB.sub(one, form)
    if used < len(values):
        extra = ", ".join(f"{type_name(v)}={show(v)}" for v in values[used:])
        text += f"%!(EXTRA {extra})"
    return text


def _formatted(match: re.Match[str], value: object) -> str:
    verb, flags = match["verb"], match["flags"]
    width = int(match["width"] or 0)
    precision = None if match["precision"] is None else int(match["precision"] or 0)
    if max(width, precision or 0) > _LIMIT:
        return "%!(BADWIDTH)" if width > _LIMIT else "%!(BADPREC)"
    text = _verb(verb, flags, precision, value)
    if len(text) >= width:
        return text
    if "-" in flags:
        return text.ljust(width)
    if "0" in flags and _is_number(value):
        sign = text[:1] if text[:1] in ("+", "-", " ") else ""
        return sign + text[len(sign) :].rjust(width - len(sign), "0")
    return text.rjust(width)


def _verb(verb: str, flags: str, precision: int | None, value: object) -> str:
    match verb:
        case "v":
            text = _go_syntax(value) if "#" in flags else show(value, named="+" in flags)
            return f"+{text}" if "+" in flags and _is_number(value) and text[0] != "-" else text
        case "T":
            return type_name(value)
        case "t" if isinstance(value, bool):
            return show(value)
        case "s" | "q" | "x" | "X" if isinstance(value, str):
            return _string(verb, flags, value if precision is None else value[:precision])
    if isinstance(value, bool) or value is None:
        return (
            f"%!{verb}({type_name(value)}={show(value)})"
            if value is not None
            else (f"%!{verb}(<nil>)")
        )
    if isinstance(value, int) and verb in "dbcoOxXqU":
        return _signed(flags, _integer(verb, flags, precision, value))
    if isinstance(value, float) and verb in "eEfFgG":
        return _signed(flags, _real(verb, precision, value))
    if is_list(value) or isinstance(value, Mapping):
        return _each(lambda item: _verb(verb, flags, precision, item), value)
    return f"%!{verb}({type_name(value)}={show(value)})"


def _each(shown: Callable[[object], str], value: Any) -> str:
    """A verb for the parts of a list or a mapping."""
    if isinstance(value, Struct):
        return "{" + " ".join(map(shown, value.values())) + "}"
    if isinstance(value, Mapping):
        pairs = (f"{shown(key)}:{shown(value[key])}" for key in sorted(value))
        return "map[" + " ".join(pairs) + "]"
    return "[" + " ".join(map(shown, value)) + "]"


def _string(verb: str, flags: str, value: str) -> str:
    match verb:
        case "s":
            return value
        case "q":
            raw = "#" in flags and "`" not in value and value.isprintable()
            return f"`{value}`" if raw else quote(value)
    data = value.encode("utf-8", "surrogateescape")
    text = data.hex(" ") if " " in flags else data.hex()
    text = f"0x{text}" if "#" in flags and text else text
    return text.upper() if verb == "X" else text


def _integer(verb: str, flags: str, precision: int | None, value: int) -> str:
    if verb in "cqU":
        return _character(verb, value)
    base = {"d": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}[verb]
    digits = f"{abs(value):{base}}"
    if precision is not None:
        digits = "" if precision == 0 and value == 0 else digits.rjust(precision, "0")
    prefix = "0o" if verb == "O" else ""
    if "#" in flags:
        prefix = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}.get(verb, prefix)
    return ("-" if value < 0 else "") + prefix + digits


def _character(verb: str, value: int) -> str:
    valid = 0 <= value <= 0x10FFFF and not 0xD800 <= value < 0xE000
    if verb == "U":
        return f"U+{value:04X}"
    character = chr(value) if valid else "\ufffd"
    if verb == "c":
        return character
    return "'" + quote(character)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"


def _real(verb: str, precision: int | None, value: float) -> str:
    if not math.isfinite(value):
        return _float(value)
    if verb in "gG" and precision is None:
        text = _float(value)
    elif verb in "gG":
        text = f"{value:.{precision or 1}{verb}}"
    else:
        text = f"{value:.{6 if precision is None else precision}{verb}}"
    return text.upper() if verb in "EG" else text


def _signed(flags: str, text: str) -> str:
    if text[:1] in ("-", "+"):
        return text
    return ("+" if "+" in flags else " " if " " in flags else "") + text


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _go_syntax(value: object) -> str:
    match value:
        case str():
            return quote(value)
        case None:
            return "<nil>"
        case Mapping():
            pairs = (f"{quote(str(key))}:{_go_syntax(value[key])}" for key in sorted(value))
            return f"{type_name(value)}{{{', '.join(pairs)}}}"
    if is_list(value):
        items = ", ".join(map(_go_syntax, value))
        return f"{type_name(value)}{{{items}}}"
    return show(value)


def _float(value: float) -> str:
    """The shortest text that reads as the same number, with an exponent where `%v` has one."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    mantissa, _, exponent = f"{value!r}".partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0)  # the place of the point, from the first digit
    point -= len(whole + fraction) - len((whole + fraction).lstrip("0"))
    digits = digits.rstrip("0")
    if not digits:
        return f"{sign}0"
    if not _SMALLEST <= point - 1 < _LARGEST:
        rest = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}e{point - 1:+03d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    whole, fraction = digits[:point].ljust(point, "0"), digits[point:]
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"
