"""Numbers of HCL: binary floating point with 512 bits of precision, as Go's `math/big` has them."""

from __future__ import annotations

import re
from fractions import Fraction

from lamina.base.named_tuple import NamedTuple

PRECISION = 512
"""Bits of the mantissa of numbers that a text gives (cty.ParseNumberVal)."""

_INTEGER_PRECISION = 64
_FLOAT_PRECISION = 53
_LARGEST_EXPONENT = 10_000
"""The largest exponent of ten. Go accepts larger ones, but their decimal digits cannot be
printed."""

_DECIMAL = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]+))?")


class Number(NamedTuple):
    """A number. Arithmetic has the larger of the operands' precisions, in bits."""

    value: Fraction
    precision: int = PRECISION

    @property
    def is_integer(self) -> bool:
        return self.value.denominator == 1

    def __bool__(self) -> bool:
        return bool(self.value)


def integer(value: int) -> Number:
    """A number that a function counted."""
    return Number(Fraction(value), max(_INTEGER_PRECISION, value.bit_length()))


def from_float(value: float) -> Number:
    """Raises ValueError if it is no number, OverflowError if it is infinite."""
    return Number(Fraction(value), _FLOAT_PRECISION)


def parse_number(text: str) -> Number:
    """Read a decimal number. Raises ValueError."""
    match = _DECIMAL.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        raise ValueError(f"{text} is not a number")
    exponent = int(match[4] or 0)
    if abs(exponent) > _LARGEST_EXPONENT or len(text) > _LARGEST_EXPONENT:
        raise ValueError(f"{text} has too many digits")
    fraction = match[3] or ""
    value = Fraction(int((match[2] or "0") + fraction or "0"))
    value *= Fraction(10) ** (exponent - len(fraction))
    return Number(rounded(-value if match[1] == "-" else value, PRECISION))


def rounded(value: Fraction, precision: int) -> Fraction:
    """The nearest value with a mantissa of that many bits; a tie goes to the even one."""
    numerator, denominator = abs(value.numerator), value.denominator
    if not numerator or (denominator == 1 and numerator.bit_length() <= precision):
        return value
    shift = precision - numerator.bit_length() + denominator.bit_length()
    mantissa, rest, divisor = _scaled(numerator, denominator, shift)
    if mantissa.bit_length() > precision:
        shift -= 1
        mantissa, rest, divisor = _scaled(numerator, denominator, shift)
    if 2 * rest > divisor or (2 * rest == divisor and mantissa & 1):
        mantissa += 1
    result = Fraction(mantissa, 1 << shift) if shift > 0 else Fraction(mantissa << -shift)
    return -result if value < 0 else result


def _scaled(numerator: int, denominator: int, shift: int) -> tuple[int, int, int]:
    """Quotient, rest and divisor of `numerator * 2**shift / denominator`."""
    if shift > 0:
        numerator <<= shift
    else:
        denominator <<= -shift
    return (*divmod(numerator, denominator), denominator)


def shown(number: Number) -> str:
    """The shortest decimal that is read as this number, without an exponent: `Text('f', -1)`."""
    value, precision = number
    if value.denominator == 1 and abs(value.numerator).bit_length() <= precision:
        return str(value.numerator)
    digits, point = shortest_digits(number)
    sign = "-" if value < 0 else ""
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if point >= len(digits):
        return f"{sign}{digits}{'0' * (point - len(digits))}"
    return f"{sign}{digits[:point]}.{digits[point:]}"


def shown_general(number: Number) -> str:
    """`Text('g', -1)`: with an exponent if that is below -4 or at least 21."""
    if not number:
        return "0"
    digits, point = shortest_digits(number)
    exponent = point - 1
    if -4 <= exponent < 21:
        return shown(number)
    mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    sign = "-" if number.value < 0 else ""
    return f"{sign}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def shortest_digits(number: Number) -> tuple[str, int]:
    """The digits after the point and its position: 12.5 is ("125", 2). Not for zero."""
    value, precision = abs(number.value), number.precision
    point = _magnitude(value)
    count = 0
    while True:
        count += 1
        scale = Fraction(10) ** (count - point)
        candidate = round(value * scale)
        if rounded(candidate / scale, precision) == value:
            digits = str(candidate)
            return (digits.rstrip("0") or "0"), point + len(digits) - count


def _magnitude(value: Fraction) -> int:
    """The smallest n with value < 10**n."""
    estimate = (value.numerator.bit_length() - value.denominator.bit_length()) * 30103 // 100000
    while value >= Fraction(10) ** estimate:
        estimate += 1
    while value < Fraction(10) ** (estimate - 1):
        estimate -= 1
    return estimate


def combined(value: Fraction, *operands: Number) -> Number:
    """The result of an operation on numbers, rounded to the largest of their precisions."""
    precision = max(operand.precision for operand in operands)
    return Number(rounded(value, precision), precision)
