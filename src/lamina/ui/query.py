"""The parameters of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping


class Query:
    """The parameters of a request: those of its path and those of its query."""

    def __init__(self, path: Mapping[str, str], query: Mapping[str, str]) -> None:
        self._path = path
        self._query = query

    def path(self, name: str) -> str:
        return self._path[name]

    def text(self, name: str) -> str:
        """A text, "" if it was not given."""
        return self._query.get(name, "")

    def number(self, name: str, default: int, most: int) -> int:
        """A number from 0 to `most`. Raises InvalidInput."""
        text = self._query.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal() and len(text) < 16):
            raise InvalidInput(f'the parameter {name} is "{text}": not a whole number')
        return min(int(text), most)
