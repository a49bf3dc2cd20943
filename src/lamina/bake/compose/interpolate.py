"""Variables in Compose files: https://docs.docker.com/reference/compose-file/interpolation/."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lamina.bake.compose.yaml_file import Override
from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_OPERATOR = re.compile(r":?[-+?]")


def interpolated(value: Any, environ: Mapping[str, str]) -> Any:
    """The value with all variables in strings replaced. Raises InvalidInput."""
    match value:
        case str():
            return expand(value, environ)
        case Override(inner):
            return Override(interpolated(inner, environ))
        case dict():
            return {key: interpolated(member, environ) for key, member in value.items()}
        case list():
            return [interpolated(element, environ) for element in value]
    return value


def expand(text: str, environ: Mapping[str, str]) -> str:
    """`$NAME`, `${NAME}`, `${NAME:-default}`, `:?error`, `:+other`, `$$`. Raises InvalidInput."""
    found: list[str] = []
    position = 0
    while (dollar := text.find("$", position)) >= 0:
        found.append(text[position:dollar])
        position = dollar + 1
        if text.startswith("$", position):
            found.append("$")
            position += 1
        elif (name := _NAME.match(text, position)) is not None:
            found.append(environ.get(name[0], ""))
            position = name.end()
        elif text.startswith("{", position):
            end = _closing(text, position)
            found.append(_braced(text[position + 1 : end], text, environ))
            position = end + 1
        else:  # as in `$(command)`
            found.append("$")
    return "".join([*found, text[position:]])


def _closing(text: str, start: int) -> int:
    depth = 0
    for index in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if not depth:
            return index
    raise InvalidInput(f'"{text}": a brace after $ is not closed')


def _braced(inner: str, text: str, environ: Mapping[str, str]) -> str:
    name = _NAME.match(inner)
    if name is None:
        raise InvalidInput(f'"{text}": a variable name is expected after ${{')
    value = environ.get(name[0])
    if name.end() == len(inner):
        return value or ""
    operator = _OPERATOR.match(inner, name.end())
    if operator is None:
        raise InvalidInput(f'"{text}": ${{{inner}}} is no variable')
    other = inner[operator.end() :]
    is_given = bool(value) if operator[0].startswith(":") else value is not None
    match operator[0][-1]:
        case "+":
            return expand(other, environ) if is_given else ""
        case "?" if not is_given:
            why = expand(other, environ) or "it has no value"
            raise InvalidInput(f"the variable {name[0]} is required: {why}")
    return value or "" if is_given else expand(other, environ)
