"""The line of the user's Python that made a state."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TypeVar

import lamina
from lamina.base.location import Location
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from types import FrameType

    from lamina.base.errors import LaminaError

    E = TypeVar("E", bound=LaminaError)

_PACKAGE = os.path.dirname(os.path.abspath(lamina.__file__)) + os.sep
_LIBRARY = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_FROZEN = "<frozen "
LANGUAGE = "Python"


class Caller(NamedTuple):
    """A line (1-based) of a Python file, or of a cell of a notebook."""

    filename: str
    line: int

    def text(self) -> str:
        """The whole file, "" if it cannot be read."""
        import linecache

        return "".join(linecache.getlines(self.filename))

    def location(self) -> Location | None:
        text = self.text()
        return Location(self.filename, self.line, self.line, text, language=LANGUAGE)


def at_caller(error: E) -> E:
    """The error, with the caller's line if it has no location."""
    caller = find_caller()
    return explained(error if caller is None else error.at(caller.location()))


def explained(error: E) -> E:
    """The error, with its excerpt and its hint as notes, which tracebacks show."""
    excerpt = "" if error.location is None else error.location.excerpt()
    for note in (excerpt, f"hint: {error.hint}" if error.hint else ""):
        if note and note not in getattr(error, "__notes__", ()):
            error.add_note(note)
    return error


def find_caller() -> Caller | None:
    """The innermost caller outside of lamina and the standard library. None if there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        filename = frame.f_code.co_filename
        if not filename.startswith((_PACKAGE, _FROZEN)) and not _in_library(filename):
            return Caller(filename, frame.f_lineno)
        frame = frame.f_back
    return None


def _in_library(filename: str) -> bool:
    return filename.startswith(_LIBRARY) and "-packages" not in filename
