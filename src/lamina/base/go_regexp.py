"""Regular expressions of clients, in the syntax of Go's `regexp`, in linear time (RE2)."""

from __future__ import annotations

from typing import Any

from lamina.base.errors import InvalidInput


def compile_regexp(pattern: str) -> Any:
    """Compile an `re2` pattern. Texts to search must be converted by `searchable`.

    Raises InvalidInput.
    """
    import re2  # its import is slow, and few builds need it

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(searchable(pattern), options)
    except re2.error as error:
        why = error.args[0].decode("utf-8", "replace") if error.args else "malformed"
        raise InvalidInput(f'invalid regex "{pattern}": {why}') from error


def searchable(text: str) -> str:
    """Remove bytes that are not valid text, which no pattern can match."""
    return text.encode("utf-8", "replace").decode()
