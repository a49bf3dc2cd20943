"""What may be written to a terminal: text and colours, nothing that moves its cursor.

Steps, Dockerfiles and servers choose much of what a build shows. In pipes and files their bytes
stay as they are; a terminal would obey them.
"""

from __future__ import annotations

import codecs
import io
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

# Compiled when they are needed, which is hardly ever.
_SEQUENCE = (
    r"(?P<colour>\x1b\[[0-9;:]*m)"
    r"|\x1b\[[0-?]*[ -/]*[@-~]?"  # CSI: cursor, screen, modes, reports
    r"|\x1b[]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # OSC, DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-~]?"  # all others
    r"|[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\udc80-\udc9f]"  # C0 but for \b \t \n \r, and C1
)
# What may go on in the next piece. Of strings, which are dropped, their beginning is enough.
_UNFINISHED = r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}|[ -/]{0,8})\Z"
_STRING = r"(\x1b[]PX^_])[^\x07\x1b\n]*(\x1b?)\Z"


class TerminalFilter:
    """Bytes in pieces, as they may be shown. Sequences and characters may be cut anywhere."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._pending = ""

    def __call__(self, data: bytes) -> bytes:
        text = self._pending + self._decode(data)
        self._pending = ""
        if "\x1b" in text:
            if cut := re.search(_STRING, text):
                self._pending = cut[1] + cut[2]
            elif cut := re.search(_UNFINISHED, text):
                self._pending = cut[0]
            if cut:
                text = text[: cut.start()]
        return harmless(text).encode("utf-8", "surrogateescape")


class TerminalStream(io.TextIOWrapper):
    """A text stream that ends at a terminal."""

    def write(self, text: str, /) -> int:
        super().write(harmless(text))
        return len(text)


def harmless(text: str) -> str:
    """A text without what a terminal would obey; colours stay."""
    if text.replace("\n", "").isprintable():
        return text
    return re.sub(_SEQUENCE, _colour, text)


def filter_standard_streams() -> None:
    """Have everything that is printed from now on filtered where it goes to a terminal."""
    for name in ("stdout", "stderr"):
        stream: TextIO = getattr(sys, name)
        if stream.isatty() and isinstance(stream, io.TextIOWrapper):
            encoding, errors = stream.encoding, stream.errors
            filtered = TerminalStream(
                stream.detach(), encoding=encoding, errors=errors, line_buffering=True
            )
            setattr(sys, name, filtered)


def _colour(match: re.Match[str]) -> str:
    return match["colour"] or ""
