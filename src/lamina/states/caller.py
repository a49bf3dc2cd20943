"""The line of the user's Python that made a state."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import lamina
from lamina.base.location import Location
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from types import FrameType

_PACKAGE = os.path.dirname(os.path.abspath(lamina.__file__)) + os.sep
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


def find_caller() -> Caller | None:
    """The innermost caller outside of lamina. None if there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        filename = frame.f_code.co_filename
        if not filename.startswith(_PACKAGE):
            return Caller(filename, frame.f_lineno)
        frame = frame.f_back
    return None
