"""Reads a TOML table key by key. Errors contain the key and the expected value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.errors import InvalidInput, NotFound, from_os_error
from lamina.base.units import seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LIMIT = 1 << 62


def read_toml(path: str, kind: str, *, name: str = "") -> dict[str, Any]:
    """The document in a file.

    Args:
        kind: what the file is, for errors: "configuration file".
        name: what errors in its text begin with, "" for the path.

    Raises NotFound, PermissionDenied, InvalidInput.
    """
    import tomllib

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise NotFound(f"{kind} {path} does not exist") from None
    except OSError as error:
        raise from_os_error(error, f"read {kind}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{name or path}: {error}") from error


class TomlTable:
    """One table of a file. Names are case-insensitive (Go's decoder).

    Every method consumes its key: `unknown` lists the remaining ones. All raise InvalidInput.

    Args:
        path: where the table is, in TOML's own notation; "" for the whole file.
    """

    def __init__(self, values: Mapping[str, Any], file: str, path: str = "") -> None:
        self._values = dict(values)
        self._file = file
        self._path = path
        self._children: list[TomlTable] = []

    def text(self, key: str, default: str = "") -> str:
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.wrong(key, "a string", value)
        return value

    def required(self, key: str) -> str:
        """A required string."""
        value = self.take(key)
        if not isinstance(value, str):
            raise self.wrong(key, "a string", value)
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        value = self.text(key, default)
        if value not in choices:
            raise self.wrong(key, f"one of {', '.join(filter(None, choices))}", value)
        return value

    def switch(self, key: str) -> bool | None:
        value = self.take(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, "true or false", value)
        return value

    def number(self, key: str) -> int | None:
        value = self.take(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _LIMIT:
            raise self.wrong(key, "a whole number", value)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.take(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "a list of strings", value)
        return tuple(value)

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        value = self.take(key)
        if value is None:
            return ()
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise self.wrong(key, "a table of strings", value)
        return tuple(value.items())

    def seconds(self, key: str, default: float = 0.0) -> float:
        """A whole number of seconds, also as a string, or a duration like `48h`."""
        value = self.take(key)
        try:
            match value:
                case None | "":
                    return default
                case bool():
                    raise ValueError
                case int() if 0 <= value < _LIMIT:
                    return float(value)
                case str() if value.isdecimal():
                    return float(value)
                case str():
                    return seconds_of(value)
                case _:
                    raise ValueError
        except ValueError:
            raise self.wrong(key, "a number of seconds or a duration like 48h", value) from None

    def table(self, key: str) -> TomlTable:
        """A table in this one; an empty one if it is missing."""
        value = self.take(key)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(key, "a table", value)
        return self._child(self._name(key), value or {})

    def tables(self, key: str) -> list[TomlTable]:
        """An array of tables."""
        value = self.take(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.wrong(key, "an array of tables", value)
        return [self._child(f"{self._name(key)}[{n}]", item) for n, item in enumerate(value)]

    def document(self, key: str) -> dict[str, Any]:
        """A table whose keys are names that the user chose, as a dictionary."""
        value = self.take(key)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(key, "a table", value)
        return value or {}

    def skip(self, *keys: str) -> None:
        """Consume ignored keys, whatever their values."""
        for key in keys:
            self.take(key)

    def skip_rest(self) -> None:
        """Consume all remaining keys."""
        self._values.clear()

    def __bool__(self) -> bool:
        """Whether keys remain."""
        return bool(self._values)

    def unknown(self) -> Iterator[str]:
        """The paths of the remaining keys, here and below."""
        for key in self._values:
            yield self._name(key)
        for child in self._children:
            yield from child.unknown()

    def refuse_unknown(self) -> None:
        """Raise InvalidInput if a key remains."""
        for path in self.unknown():
            raise InvalidInput(f"{self._file}: unknown key {path}")

    def take(self, key: str) -> Any:
        """The value of a key, None if it is missing."""
        if key in self._values:
            return self._values.pop(key)
        for name in self._values:
            if name.lower() == key.lower():
                return self._values.pop(name)
        return None

    def _child(self, path: str, values: Mapping[str, Any]) -> TomlTable:
        child = TomlTable(values, self._file, path)
        self._children.append(child)
        return child

    def _name(self, key: str) -> str:
        plain = key.replace("-", "").replace("_", "")
        shown = key if plain.isascii() and plain.isalnum() else f'"{key}"'
        return f"{self._path}.{shown}" if self._path else shown

    def wrong(self, key: str, expected: str, value: object) -> InvalidInput:
        """The error that a value is not the expected one."""
        return InvalidInput(f"{self._file}: {self._name(key)} must be {expected}, not {value!r}")
