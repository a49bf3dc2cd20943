"""Go's `text/template` (package documentation), as `docker … --format` uses it.

Data are mappings, lists, strings, numbers, booleans and None, as of JSON. A mapping is a map: what
it lacks is `<no value>`. A `Struct` is one: it has no other fields. Methods, complex numbers and
`call` are not supported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput
from lamina.base.go_template.errors import Malformed, WrongArguments
from lamina.base.go_template.evaluation import execute
from lamina.base.go_template.functions import BUILTINS, DOCKER, LAZY, json_indented
from lamina.base.go_template.parser import parse
from lamina.base.go_template.printing import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.base.go_template.functions import TemplateFunction

__all__ = ["GoTemplate", "Struct", "TemplateError", "WrongArguments", "json_indented"]


class TemplateError(InvalidInput):
    """A template is malformed, or does not fit its data."""


class GoTemplate:
    """A parsed template. Raises TemplateError, with the place in the text.

    Args:
        functions: more functions than docker's, or in place of these.
    """

    def __init__(self, text: str, functions: Mapping[str, TemplateFunction] | None = None) -> None:
        self._text = text
        self._functions = {**BUILTINS, **DOCKER, **(functions or {})}
        try:
            self._parsed = parse(text, {*self._functions, *LAZY})
        except Malformed as error:
            raise self._error(error) from None

    def render(self, data: object) -> str:
        """The text for some data. Raises TemplateError."""
        try:
            return execute(self._parsed, self._functions, data)
        except Malformed as error:
            raise self._error(error) from None

    def _error(self, error: Malformed) -> TemplateError:
        before = self._text[: error.at]
        line, column = before.count("\n") + 1, error.at - before.rfind("\n")
        return TemplateError(
            f"invalid template, line {line}, column {column}: {error.reason}",
            hint="templates are Go's: https://pkg.go.dev/text/template",
        )
