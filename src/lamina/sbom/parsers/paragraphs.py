"""Files of `Name: value` lines in paragraphs: those of dpkg, apk and Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def paragraphs(data: bytes) -> Iterator[dict[str, str]]:
    """Fields of paragraphs that empty lines end. Continued lines are left out.

    Of fields with one name the first counts.
    """
    for listed in listed_paragraphs(data):
        yield {name: values[0] for name, values in listed.items()}


def listed_paragraphs(data: bytes) -> Iterator[dict[str, list[str]]]:
    """As `paragraphs`, with all values of each field."""
    fields: dict[str, list[str]] = {}
    for line in data.decode("utf-8", "replace").split("\n"):
        line = line.rstrip("\r")
        if not line:
            if fields:
                yield fields
            fields = {}
        elif line[0] not in " \t":
            name, colon, value = line.partition(":")
            if colon:
                fields.setdefault(name, []).append(value.strip())
    if fields:
        yield fields
