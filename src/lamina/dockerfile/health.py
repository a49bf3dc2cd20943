"""HEALTHCHECK, and times as Go writes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.dockerfile.flags import Flags, Kind
from lamina.dockerfile.instruction import HealthCheck
from lamina.dockerfile.words import BLANKS, json_words

if TYPE_CHECKING:
    from lamina.dockerfile.lexer import Node

_FLAGS = {
    "interval": Kind.TEXT,
    "timeout": Kind.TEXT,
    "start-period": Kind.TEXT,
    "start-interval": Kind.TEXT,
    "retries": Kind.TEXT,
}
_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_LIMIT = 1 << 63
_WHOLE = len(str(_LIMIT))  # digits; more are beyond the limit
_FRACTION = 20  # significant digits


def parse_health_check(node: Node) -> HealthCheck:
    """Parse HEALTHCHECK. Raises InvalidInput."""
    if not node.rest:
        raise InvalidInput(
            "HEALTHCHECK requires at least one argument", hint="write HEALTHCHECK CMD command"
        )
    kind, *rest = BLANKS.split(node.rest, maxsplit=1)
    if kind.upper() == "NONE":
        if rest:
            raise InvalidInput("HEALTHCHECK NONE takes no arguments")
        return HealthCheck(node, ("NONE",))
    flags = Flags(node, _FLAGS)
    if kind.upper() != "CMD":
        raise InvalidInput(
            f'Unknown type "{kind.upper()}" in HEALTHCHECK (try CMD)',
            hint="write HEALTHCHECK CMD command, or HEALTHCHECK NONE",
        )
    command = json_words(rest[0]) if rest else ()
    if command is None:
        test: tuple[str, ...] = ("CMD-SHELL", rest[0])
    elif command:
        test = ("CMD", *command)
    else:
        raise InvalidInput("Missing command after HEALTHCHECK CMD")
    retries = flags.text("retries")
    if retries and (not re.fullmatch(r"[+]?[0-9]{1,9}", retries)):
        raise InvalidInput(f'--retries must be a number that is not negative, not "{retries}"')
    return HealthCheck(
        node,
        test,
        _interval(flags, "interval"),
        _interval(flags, "timeout"),
        _interval(flags, "start-period"),
        _interval(flags, "start-interval"),
        int(retries or 0),
    )


def _interval(flags: Flags, name: str) -> int:
    text = flags.text(name)
    if not text:
        return 0
    time = parse_duration(text)
    if time and time < 10**6:
        raise InvalidInput(f'Interval "{name}" cannot be less than 1ms')
    return time


def parse_duration(text: str) -> int:
    """Nanoseconds of Go's duration syntax (`1m30s`, `500ms`, `1.5h`). Raises InvalidInput."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    total = 0
    at = 0
    while rest != "0" and at < len(rest):
        match = _DURATION.match(rest, at)
        if match is None:
            break
        whole, _, fraction = match[1].partition(".")
        unit = _UNITS[match[2]]
        whole, fraction = whole.lstrip("0"), fraction[:_FRACTION]
        if len(whole) > _WHOLE:
            total = _LIMIT
            break
        total += int(whole or 0) * unit
        if fraction:
            total += int(fraction) * unit // 10 ** len(fraction)
        at = match.end()
    if rest != "0" and (at < len(rest) or not rest or total >= _LIMIT):
        raise InvalidInput(f'invalid duration "{text}"', hint="use a duration like 30s or 1m30s")
    return -total if text.startswith("-") else total


def format_duration(time: int) -> str:
    """Nanoseconds as Go prints them: `1m30s`, `1.5s`, `500ms`, `0s`."""
    if not time:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if time < size * 1000:
            return _decimal(time, size) + unit
    minutes, rest = divmod(time, _UNITS["m"])
    seconds = _decimal(rest, _UNITS["s"]) + "s"
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def _decimal(value: int, size: int) -> str:
    whole, rest = divmod(value, size)
    if not rest:
        return str(whole)
    digits = len(str(size)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0")
