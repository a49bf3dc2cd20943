"""Functions on timestamps (RFC 3339)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

from lamina.bake.functions.define import any_value, fixed, number, text
from lamina.bake.values.value import NUMBER, STRING, Value, object_value, string, whole

_TIMESTAMP = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(\.\d+)?(Z|([+-])(\d{2}):(\d{2}))"
)
_VERB = re.compile(r"'((?:[^']|'')*)'|([a-zA-Z])\2*|'|[^a-zA-Z']+")
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNITS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_MONTHS = "January February March April May June July August September October November December"
_DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday"


def _parsed(timestamp: str) -> datetime:
    match = _TIMESTAMP.fullmatch(timestamp)
    try:
        if match is not None:
            zone: timezone = UTC
            if match[8] != "Z":
                offset = timedelta(hours=int(match[10]), minutes=int(match[11]))
                zone = timezone(-offset if match[9] == "-" else offset)
            micro = int((match[7] or ".0")[1:7].ljust(6, "0"))
            year, month, day, hour, minute, second = map(int, match.groups()[:6])
            return datetime(year, month, day, hour, minute, second, micro, zone)
    except ValueError:
        pass
    raise ValueError(f'"{timestamp}" is no timestamp as RFC 3339 has it')


def _from_unix(value: Value) -> datetime:
    seconds = value.number
    if not seconds.is_integer:
        raise ValueError("a Unix timestamp is a whole number")
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(seconds.value))
    except OverflowError:
        raise ValueError("the Unix timestamp is too large") from None


def _shown(time: datetime) -> str:
    return f"{time.year:04d}-{time:%m-%dT%H:%M:%S}{_zone(time)}"


def _zone(time: datetime, zero: str = "Z", colon: str = ":") -> str:
    offset = time.utcoffset() or timedelta()
    if not offset and zero:
        return zero
    sign = "-" if offset < timedelta() else "+"
    hours, minutes = divmod(abs(offset).seconds // 60, 60)
    return f"{sign}{hours:02d}{colon}{minutes:02d}"


def _weekday(time: datetime) -> int:
    return time.isoweekday() % 7


def _formatted(template: str, time: datetime) -> str:
    found = []
    for match in _VERB.finditer(template):
        if match[0].startswith("'"):
            if len(match[0]) == 1:
                raise ValueError("a quote in the format has no closing quote")
            found.append(match[1].replace("''", "'") if match[1] else "'")
        elif match[2]:
            found.append(_verb(match[0], time))
        else:
            found.append(match[0])
    return "".join(found)


def _verb(verb: str, time: datetime) -> str:
    month, day = _MONTHS.split()[time.month - 1], _DAYS.split()[_weekday(time)]
    half = time.hour % 12 or 12
    known = {
        "YY": f"{time.year % 100:02d}",
        "YYYY": f"{time.year:04d}",
        "M": str(time.month),
        "MM": f"{time.month:02d}",
        "MMM": month[:3],
        "MMMM": month,
        "D": str(time.day),
        "DD": f"{time.day:02d}",
        "EEE": day[:3],
        "EEEE": day,
        "h": str(time.hour),
        "hh": f"{time.hour:02d}",
        "H": str(half),
        "HH": f"{half:02d}",
        "AA": "PM" if time.hour >= 12 else "AM",
        "aa": "pm" if time.hour >= 12 else "am",
        "m": str(time.minute),
        "mm": f"{time.minute:02d}",
        "s": str(time.second),
        "ss": f"{time.second:02d}",
        "Z": _zone(time),
        "ZZZ": _zone(time, "UTC", ""),
        "ZZZZ": _zone(time, "", ""),
        "ZZZZZ": _zone(time, ""),
    }
    if (written := known.get(verb)) is None:
        raise ValueError(f"the format has no verb \"{verb}\"; quote text: '{verb}'")
    return written


def _format_date(template: Value, timestamp: Value) -> Value:
    return string(_formatted(template.text, _parsed(timestamp.text)))


def _format_timestamp(template: Value, given: Value) -> Value:
    if given.type == STRING:
        time = _parsed(given.text)
    elif given.type == NUMBER:
        time = _from_unix(given)
    else:
        raise ValueError("the time must be a timestamp, or the seconds of a Unix timestamp")
    if template.text == "X":
        return string(str(int(time.timestamp() // 1)))
    return string(_formatted(template.text, time))


def _add(timestamp: Value, duration: Value) -> Value:
    try:
        return string(_shown(_parsed(timestamp.text) + _duration(duration.text)))
    except OverflowError:
        raise ValueError("the result is no timestamp") from None


def _duration(written: str) -> timedelta:
    digits = written[1:] if written[:1] in ("+", "-") else written
    parts = _DURATION.findall(digits)
    if "".join(f"{amount}{unit}" for amount, unit in parts) != digits or not digits:
        if digits == "0":
            return timedelta()
        raise ValueError(f'"{written}" is no duration such as 1h30m')
    seconds = sum((Fraction(amount) * _UNITS[unit] for amount, unit in parts), Fraction(0))
    length = timedelta(seconds=int(seconds), microseconds=int(seconds % 1 * 10**6))
    return -length if written.startswith("-") else length


def _parse_unix(value: Value) -> Value:
    time = _from_unix(value)
    year, week, _ = time.isocalendar()
    return object_value(
        {
            "year": whole(time.year),
            "year_day": whole(time.timetuple().tm_yday),
            "day": whole(time.day),
            "month": whole(time.month),
            "month_name": string(_MONTHS.split()[time.month - 1]),
            "weekday": whole(_weekday(time)),
            "weekday_name": string(_DAYS.split()[_weekday(time)]),
            "hour": whole(time.hour),
            "minute": whole(time.minute),
            "second": whole(time.second),
            "rfc3339": string(_shown(time)),
            "iso_year": whole(year),
            "iso_week": whole(week),
        }
    )


FUNCTIONS = {
    "formatdate": fixed(_format_date, text("format"), text("time")),
    "formattimestamp": fixed(_format_timestamp, text("format"), any_value("time")),
    "timeadd": fixed(_add, text("timestamp"), text("duration")),
    "timestamp": fixed(lambda: string(_shown(datetime.now(UTC)))),
    "unixtimestampparse": fixed(_parse_unix, number("unix_timestamp")),
}
