"""Text on a terminal: its width, truncation, and the last lines of logs."""

from __future__ import annotations


def encoded(text: str) -> bytes:
    """Encode a text as UTF-8. Bytes of names that are not UTF-8 are restored."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # JSON can contain half a surrogate pair
        return text.encode("utf-8", "replace")


def width(text: str) -> int:
    """The number of columns of a text: East Asian wide characters have two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(map(_cells, text))


def clip(text: str, columns: int) -> str:
    """Truncate a text to a number of columns."""
    if text.isascii():
        return text[: max(columns, 0)]
    used = 0
    for place, character in enumerate(text):
        used += _cells(character)
        if used > columns:
            return text[:place]
    return text


def align(left: str, right: str, columns: int) -> str:
    """Combine two texts in one line, the right one aligned to the last column."""
    return left + " " * max(columns - width(left) - width(right), 1) + right


def plain(text: str) -> str:
    """A text on one line that moves no cursor: control characters become spaces."""
    if text.isprintable():
        return text
    return (
        "".join(
            " " if ord(character) < 32 or 127 <= ord(character) < 160 else character
            for character in text
        )
        .encode("utf-8", "replace")
        .decode()
    )


def _cells(character: str) -> int:
    import unicodedata

    if character < "\x7f":
        return 1
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


class LogTail:
    """The last lines of a log as a terminal would show them.

    Carriage returns overwrite the line, escape sequences are dropped, tabs become spaces.
    """

    __slots__ = ("_bytes", "_limit", "_lines", "written")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines: list[bytes] = [b""]
        self._bytes = 4096
        self.written = 0

    def add(self, data: bytes) -> None:
        self.written += len(data)
        if len(data) > self._limit * self._bytes:
            data = data[-self._limit * self._bytes :]
        first, *more = data.split(b"\n")
        self._lines[-1] += first
        self._lines += more
        # An empty last line is only the cursor's: one more is kept.
        del self._lines[: -self._limit - 1]
        if len(self._lines[-1]) > self._bytes:
            self._lines[-1] = self._lines[-1][-self._bytes :]

    def show(self) -> list[str]:
        """The last lines that are not empty, oldest first."""
        shown = [_settle(line) for line in self._lines]
        return [line for line in shown if line.strip()][-self._limit :]


def _settle(line: bytes) -> str:
    import re

    text = line.decode("utf-8", "replace").rstrip("\r")
    text = text.rpartition("\r")[2]
    text = re.sub(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])", "", text)
    while "\b" in text:
        text = re.sub(r"[^\x08]\x08|^\x08+", "", text)
    return plain(text.expandtabs())
