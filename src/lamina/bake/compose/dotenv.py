"""Environment files: `NAME=value` lines with quotes and variables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.bake.compose.interpolate import expand
from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][\w.-]*)\s*(?:[=:]\s*|(?=\n|\Z|#))")
_SKIPPED = re.compile(r"(?:\s+|#[^\n]*)+")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:\\.|[^"\\])*)"', re.DOTALL)
_ESCAPE = re.compile(r'\\([nrt"\\$])')
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def parse_environment(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a file. Those of `environ` can be used in it. Raises InvalidInput."""
    found: dict[str, str] = {}
    position = 0
    while True:
        if (skipped := _SKIPPED.match(text, position)) is not None:
            position = skipped.end()
        if position >= len(text):
            return found
        line = _LINE.match(text, position)
        if line is None:
            number = text.count("\n", 0, position) + 1
            raise InvalidInput(f"environment file: line {number} is no NAME=value")
        name, position = line[1], line.end()
        if not line[0].rstrip(" \t").endswith(("=", ":")):
            if name in environ:
                found[name] = environ[name]
            continue
        known = {**found, **environ}
        if (quoted := _SINGLE.match(text, position)) is not None:
            found[name], position = quoted[1], quoted.end()
        elif (quoted := _DOUBLE.match(text, position)) is not None:
            expanded = expand(quoted[1].replace("\\$", "$$"), known)
            found[name] = _ESCAPE.sub(lambda m: _ESCAPES.get(m[1], m[1]), expanded)
            position = quoted.end()
        else:
            end = text.find("\n", position)
            end = len(text) if end < 0 else end
            value = re.sub(r"(?:^|\s)#.*", "", text[position:end]).strip()
            found[name] = expand(value.replace("\\$", "$$"), known)
            position = end
