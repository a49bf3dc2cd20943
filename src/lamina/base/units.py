"""Parses sizes and durations."""

from __future__ import annotations

_BINARY = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_DURATIONS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATIONS.update(d=86400.0, w=604800.0)


def size_of(text: str) -> int:
    """Read `64m`, `10GB`, `1.5gib` into bytes. Units are powers of 1024. Raises ValueError."""
    lower = text.strip().lower()
    digits = lower.rstrip("bikmgtp ")
    unit = lower[len(digits) :].strip().removesuffix("b").removesuffix("i")
    if not digits or not all(c.isdigit() or c == "." for c in digits) or unit not in _BINARY:
        raise ValueError(f"{text!r} is not a size")
    return int(float(digits) * 1024 ** _BINARY[unit])


def seconds_of(text: str) -> float:
    """Read `24h`, `1h30m`, `7d`, `1.5s` or `0` into seconds. Raises ValueError."""
    if text == "0":
        return 0.0
    total, number, unit = 0.0, "", ""
    for character in text + "0":
        if character.isdigit() or character == ".":
            if unit:
                if unit not in _DURATIONS:
                    raise ValueError(f"{text!r} has an unknown unit")
                total += float(number) * _DURATIONS[unit]
                number = unit = ""
            number += character
        else:
            unit += character
    if number != "0" or not text:
        raise ValueError(f"{text!r} is not a duration")
    return total
