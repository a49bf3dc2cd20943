"""The fields of a short form: `key=value,…`, quoted as in CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable


def fields(text: str) -> list[str]:
    """Raises InvalidInput for bad quoting."""
    if '"' not in text:
        return text.split(",")
    import csv

    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error:
        raise InvalidInput(f"bad quoting in {text}") from None


def pairs(text: str) -> list[tuple[str, str]]:
    """Keys, as they are written, and values. Raises InvalidInput."""
    found = []
    for field in fields(text):
        key, equals, value = field.partition("=")
        if not equals:
            raise InvalidInput(f'invalid field "{field}" in "{text}"', hint="a field is key=value")
        found.append((key, value))
    return found


def joined(values: Iterable[tuple[str, str]]) -> str:
    """The short form with these fields."""
    return ",".join(_quoted(f"{key}={value}") for key, value in values)


def _quoted(field: str) -> str:
    if "," not in field and '"' not in field:
        return field
    doubled = field.replace('"', '""')
    return f'"{doubled}"'
