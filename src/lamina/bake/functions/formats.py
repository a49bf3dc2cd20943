"""`format` and `formatlist`: the verbs of Go's `fmt`, as far as go-cty has them."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING

from lamina.bake.functions.define import nullable, open_ended, text
from lamina.bake.functions.graphemes import clusters
from lamina.bake.values.convert import ConversionError, convert
from lamina.bake.values.json_values import to_json
from lamina.bake.values.number import Number, shortest_digits, shown_general
from lamina.bake.values.value import BOOL, NUMBER, STRING, Value, list_value, string
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_VERB = re.compile(r"%(?:%|([ +#0-]*)([0-9]*)(?:\.([0-9]*))?(?:\[([0-9]+)\])?([a-zA-Z]))")
_WIDEST = 10_000
_BASES = {"b": "b", "d": "d", "o": "o", "x": "x", "X": "X"}


class _Verb(NamedTuple):
    written: str
    flags: str
    width: int
    precision: int
    mode: str


def formatted(template: str, arguments: Sequence[Value]) -> str:
    """The template with its verbs replaced by arguments. Raises ValueError."""
    found: list[str] = []
    position = used = following = 0
    for match in _VERB.finditer(template):
        _check_literal(template, position, match.start())
        found.append(template[position : match.start()])
        position = match.end()
        if match[0] == "%%":
            found.append("%")
            continue
        following = int(match[4]) if match[4] else following + 1
        used = max(used, following)
        if not 1 <= following <= len(arguments):
            raise ValueError(f"{match[0]} has no argument")
        precision = -1 if match[3] is None else int(match[3] or 0)
        verb = _Verb(match[0], match[1], int(match[2] or -1), precision, match[5])
        if max(verb.width, verb.precision) > _WIDEST:
            raise ValueError(f"{match[0]} is too wide")
        found.append(_written(verb, arguments[following - 1]))
    _check_literal(template, position, len(template))
    if used < len(arguments):
        raise ValueError(f"there are {len(arguments)} arguments for {used} verbs")
    return "".join([*found, template[position:]])


def _check_literal(template: str, start: int, end: int) -> None:
    if (stray := template.find("%", start, end)) >= 0:
        raise ValueError(f'"{template[stray : stray + 3]}" is no verb; write %% for a percent sign')


def _written(verb: _Verb, value: Value) -> str:
    if value.is_null and verb.mode != "v":
        raise ValueError(f"{verb.written} cannot show null")
    try:
        match verb.mode:
            case "v":
                return _padded(verb, _as_it_is(verb, value))
            case "t":
                return "true" if convert(value, BOOL).truth else "false"
            case "s" | "q":
                return _text(verb, convert(value, STRING).text)
            case "b" | "d" | "o" | "x" | "X":
                return _integer(verb, convert(value, NUMBER).number)
            case "e" | "E" | "f" | "g" | "G":
                return _float(verb, convert(value, NUMBER).number)
    except ConversionError as error:
        raise ValueError(f"{verb.written}: {error}") from None
    raise ValueError(f"there is no verb {verb.written}")


def _as_it_is(verb: _Verb, value: Value) -> str:
    if "#" not in verb.flags and not value.is_null:
        if value.type == STRING:
            return value.text
        if value.type == NUMBER:
            return shown_general(value.number)
    return to_json(value)


def _text(verb: _Verb, given: str) -> str:
    if verb.precision > 0:
        given = "".join(clusters(given)[: verb.precision])
    return _padded(verb, to_json(string(given)) if verb.mode == "q" else given)


def _padded(verb: _Verb, given: str) -> str:
    missing = verb.width - len(clusters(given))
    if missing <= 0:
        return given
    padding = ("0" if "0" in verb.flags else " ") * missing
    return given + padding if "-" in verb.flags else padding + given


def _integer(verb: _Verb, number: Number) -> str:
    if not number.is_integer:
        raise ValueError(f"{verb.written} needs a whole number")
    value = int(number.value)
    digits = format(abs(value), _BASES[verb.mode]).rjust(max(verb.precision, 0), "0")
    if "#" in verb.flags:
        digits = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}.get(verb.mode, "") + digits
    return _signed(verb, value < 0, digits, zeros=verb.precision < 0)


def _signed(verb: _Verb, negative: bool, digits: str, *, zeros: bool) -> str:
    sign = "-" if negative else "+" if "+" in verb.flags else " " if " " in verb.flags else ""
    if "0" in verb.flags and "-" not in verb.flags and zeros:
        return sign + digits.rjust(verb.width - len(sign), "0")
    written = sign + digits
    return written.ljust(verb.width) if "-" in verb.flags else written.rjust(verb.width)


def _float(verb: _Verb, number: Number) -> str:
    precision = verb.precision
    magnitude = number._replace(value=abs(number.value))
    if verb.mode in ("g", "G"):
        digits = _general(magnitude, precision)
    else:
        precision = 6 if precision < 0 else precision
        make = _fixed if verb.mode == "f" else _scientific
        digits = make(magnitude.value, precision)
    digits = digits.upper() if verb.mode in ("E", "G") else digits
    return _signed(verb, number.value < 0, digits, zeros=True)


def _fixed(value: Fraction, decimals: int) -> str:
    digits = str(round(value * 10**decimals)).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits


def _scientific(value: Fraction, decimals: int) -> str:
    exponent = 0
    if value:
        exponent = shortest_digits(Number(value))[1] - 1
        scaled = round(value * Fraction(10) ** (decimals - exponent))
        if len(str(scaled)) > decimals + 1:
            exponent += 1
            scaled = round(value * Fraction(10) ** (decimals - exponent))
    else:
        scaled = 0
    digits = str(scaled).ljust(decimals + 1, "0")
    mantissa = f"{digits[0]}.{digits[1:]}" if decimals else digits
    return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _general(number: Number, precision: int) -> str:
    if precision < 0:
        return shown_general(number)
    precision = precision or 1
    written = _scientific(number.value, precision - 1)
    mantissa, _, exponent = written.partition("e")
    if -4 <= int(exponent) < precision:
        plain = _fixed(number.value, max(precision - 1 - int(exponent), 0))
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{exponent}"


def _format(values: Sequence[Value]) -> Value:
    return string(formatted(values[0].text, values[1:]))


def _format_list(values: Sequence[Value]) -> Value:
    template, *arguments = values
    lists = [a for a in arguments if a.type.is_sequence and not a.is_null]
    lengths = {len(each.elements) for each in lists}
    if len(lengths) > 1:
        raise ValueError("the lists have different lengths")
    results = []
    for index in range(lengths.pop() if lengths else 1):
        row = [a.elements[index] if a in lists else a for a in arguments]
        results.append(string(formatted(template.text, row)))
    return list_value(STRING, results)


FUNCTIONS = {
    "format": open_ended(_format, text("format"), rest=nullable("arguments")),
    "formatlist": open_ended(_format_list, text("format"), rest=nullable("arguments")),
}
