"""Sizes and times: parsed in the format of docker's flags, formatted as in BuildKit."""

from __future__ import annotations

from lamina.base.errors import InvalidInput
from lamina.base.units import seconds_of, size_of

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def show_size(size: int) -> str:
    """Bytes with two decimals and a decimal unit, `1.05MB`; below 1000 without decimals, `545B`."""
    value = float(size)
    step = 0
    while abs(value) >= 1000 and step < len(_DECIMAL) - 1:
        value /= 1000
        step += 1
    return f"{size}B" if not step else f"{value:.2f}{_DECIMAL[step]}"


def show_binary_size(size: int) -> str:
    """Bytes with four digits and a binary unit, `2.794GiB` (Go's `units.BytesSize`)."""
    value = float(size)
    step = 0
    while value >= 1024 and step < len(_BINARY) - 1:
        value /= 1024
        step += 1
    return f"{value:.4g}{_BINARY[step]}"


def parse_size(text: str, flag: str) -> int:
    """Parse a size (`lamina.base.units`). Raises InvalidInput, naming the flag."""
    try:
        return size_of(text)
    except (ValueError, OverflowError):
        raise InvalidInput(
            f'invalid argument "{text}" for --{flag}: not a size',
            hint="use a size like 64m or 10gb",
        ) from None


def parse_duration(text: str, what: str) -> float:
    """Parse `24h`, `1h30m`, `7d` to seconds. Raises InvalidInput, naming `what`."""
    try:
        return seconds_of(text)
    except ValueError:
        raise InvalidInput(
            f'invalid {what} "{text}": not a duration', hint="use a duration like 24h or 1h30m"
        ) from None


def show_ago(seconds: float) -> str:
    """The approximate time since then, in words: `5 minutes ago`."""
    if seconds < 1:
        return "Less than a second ago"
    for limit, size, name in (
        (60, 1, "second"),
        (3600, 60, "minute"),
        (48 * 3600, 3600, "hour"),
        (14 * 86400, 86400, "day"),
        (60 * 86400, 7 * 86400, "week"),
        (730 * 86400, 30 * 86400, "month"),
        (float("inf"), 365 * 86400, "year"),
    ):
        if seconds < limit:
            count = max(1, int(seconds // size))
            return f"{count} {name}{'s' if count != 1 else ''} ago"
    raise AssertionError


def show_time(timestamp: float) -> str:
    """RFC 3339 in UTC with up to nine decimals (Go's RFC3339Nano)."""
    import time

    micros = round(timestamp * 1_000_000)
    whole, fraction = divmod(micros, 1_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    decimals = f"{fraction:06d}".rstrip("0")
    return f"{text}.{decimals}Z" if decimals else f"{text}Z"


def show_nanoseconds(moment: int) -> str:
    """Nanoseconds since 1970 as RFC 3339 in UTC; `@` and seconds if there is no such date."""
    import time

    seconds, fraction = divmod(moment, 1_000_000_000)
    decimals = f".{fraction:09}".rstrip("0").rstrip(".")
    if not 0 <= seconds < 253_402_300_800:  # the year 10000
        return f"@{seconds}{decimals}"
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + decimals + "Z"
