"""RFC 3339 times as text, which is how image configs carry them."""

from __future__ import annotations

import time

from lamina.base.errors import InvalidInput


def format_time(seconds: float) -> str:
    """UTC, with the fraction to the nanosecond and no trailing zeros, as Go prints it."""
    nanoseconds = round(seconds * 1_000_000_000)
    whole, rest = divmod(nanoseconds, 1_000_000_000)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + fraction + "Z"


def is_after(text: str, epoch: int) -> bool:
    """Whether a time is later than `epoch` (seconds). Raises InvalidInput."""
    from datetime import datetime

    try:
        head, dot, tail = text.upper().partition(".")
        digits = tail[: len(tail) - len(tail.lstrip("0123456789"))] if dot else ""
        moment = datetime.fromisoformat(head + tail[len(digits) :])
        if moment.tzinfo is None:
            raise ValueError("no time zone")
    except ValueError as error:
        raise InvalidInput(f'"{text}" in the image config is not a time: {error}') from error
    seconds = int(moment.timestamp())
    return seconds > epoch or (seconds == epoch and bool(digits.strip("0")))
