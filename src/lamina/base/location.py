"""Locations in a text that a user wrote, and how to display them."""

from __future__ import annotations

from lamina.base.named_tuple import NamedTuple
from lamina.base.redact import redacted


class Location(NamedTuple):
    """Lines `start` to `end` (1-based, inclusive) of a named text.

    `text` is the whole text, for excerpts; `origin` the encoded definition that it was read from,
    if any. `character` is the column in the first line, if known. `others` are further locations of
    the same error.
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
        """Return the lines around this location, numbered; those of the location are marked `>>>`.

        As `docker buildx build` prints it: two lines before and after a single line, one around
        several; URLs without passwords. Empty if the text is unknown.
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
