"""Locations in a text that a user wrote, and how to display them."""

from __future__ import annotations

from typing import NamedTuple

from lamina.base.redact import redacted


class Location(NamedTuple):
    """Lines `start` to `end` (1-based, inclusive) of a named text.

    `text` is the whole text, so that an excerpt can be shown wherever the error surfaces;
    `origin` the encoded definition of where it was read, if it was. `character` is the column in
    the first line, where that is known. `others` are further places that led to the same.
    """

    filename: str
    start: int
    end: int
    text: str = ""
    origin: bytes = b""
    language: str = "Dockerfile"
    character: int = 0
    others: tuple[Location, ...] = ()

    def __str__(self) -> str:
        return f"{self.filename}:{self.start}"

    def excerpt(self) -> str:
        """Return the lines around this place, numbered, the lines meant marked with `>>>`.

        The shape is the one that `docker buildx build` prints: with two lines before and after
        a single one, with one around several; URLs without passwords. Empty if the text is unknown.
        """
        if not self.text:
            return ""
        lines = redacted(self.text).split("\n")
        context = 1 if self.end > self.start else 2
        first = max(1, self.start - context)
        last = min(len(lines), self.end + context)
        rule = "-" * 20
        shown = [f"{self.filename}:{self.start}", rule]
        for number in range(first, last + 1):
            mark = ">>>" if self.start <= number <= self.end else "   "
            shown.append(f"{number:4d} | {mark} {lines[number - 1]}")
        shown.append(rule)
        return "\n".join(shown)
