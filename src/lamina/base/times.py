"""RFC 3339 times in image configurations."""

from __future__ import annotations

import re
import time

from lamina.base.errors import InvalidInput

_RFC3339 = r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)\Z"


def format_time(seconds: float) -> str:
    """Format a time in UTC, with the fraction without trailing zeros, as Go prints it.

    A float can represent current times to the microsecond.
    """
    whole, rest = divmod(round(seconds * 1_000_000), 1_000_000)
    fraction = f".{rest:06d}".rstrip("0") if rest else ""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + fraction + "Z"


def is_after(text: str, epoch: int) -> bool:
    """Whether a time is later than `epoch` (seconds). Raises InvalidInput."""
    from datetime import datetime

    matched = re.match(_RFC3339, text, re.ASCII)
    if matched is None:
        raise InvalidInput(f'"{text}" in the image config is not a time')
    head, fraction, zone = matched.groups(default="")
    try:
        seconds = int(datetime.fromisoformat((head + zone).upper()).timestamp())
    except ValueError as error:
        raise InvalidInput(f'"{text}" in the image config is not a time: {error}') from error
    return seconds > epoch or (seconds == epoch and bool(fraction.strip("0")))


def parse_time(text: str) -> float | None:
    """Seconds since the epoch, or None for an invalid time."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(text.upper()).timestamp()
    except ValueError:
        return None
