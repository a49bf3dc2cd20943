"""Filters output to a terminal: text and colours remain, everything else is removed.

Steps, Dockerfiles and servers determine much of a build's output, and a terminal would execute
escape sequences in it. In pipes and files the bytes stay unchanged.
"""

from __future__ import annotations

import codecs
import io
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

# Compiled on first use, which is rare.
_SEQUENCE = (
    r"(?P<colour>\x1b\[[0-9;:]*m)"
    r"|\x1b\[[0-?]*[ -/]*[@-~]?"  # CSI: cursor, screen, modes, reports
    r"|\x1b[]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # OSC, DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-~]?"  # all others
    r"|[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\udc80-\udc9f]"  # C0 except \b \t \n \r, and C1
)
# A possibly incomplete sequence at the end of a piece. Of strings, which are dropped, the beginning
# is enough.
_UNFINISHED = r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}|[ -/]{0,8})\Z"
_STRING = r"(\x1b[]PX^_])[^\x07\x1b\n]*(\x1b?)\Z"


class TerminalFilter:
    """Filters bytes in pieces, which may split sequences and characters anywhere."""

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
    """A text stream to a terminal."""

    def write(self, text: str, /) -> int:
        super().write(harmless(text))
        return len(text)


def harmless(text: str) -> str:
    """Remove escape sequences and control characters from a text, except colours."""
    if text.replace("\n", "").isprintable():
        return text
    return re.sub(_SEQUENCE, _colour, text)


def filter_standard_streams() -> None:
    """Filter standard output and standard error from now on, if they are terminals."""
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


def confirmed(question: str) -> bool:
    """Ask a question on standard error. Returns whether the answer is yes."""
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
