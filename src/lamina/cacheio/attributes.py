"""The attributes of one `--cache-to` or `--cache-from`, while they are parsed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.base.booleans import parse_bool
from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping


class Attributes:
    """Attributes that are taken one by one. Those that are left are unknown.

    Methods raise InvalidInput.
    """

    def __init__(self, flag: str, pairs: Mapping[str, str]) -> None:
        self.flag = flag
        self._pairs = dict(pairs)

    def take(self, key: str, default: str = "") -> str:
        """A value, or the default."""
        return self._pairs.pop(key, default)

    def optional(self, key: str) -> str | None:
        """A value, or None."""
        return self._pairs.pop(key, None)

    def boolean(self, key: str, default: bool = False) -> bool:
        value = self._pairs.pop(key, None)
        if value is None:
            return default
        chosen = parse_bool(value or "true")
        if chosen is None:
            raise InvalidInput(f'{self.flag}: {key} must be true or false, not "{value}"')
        return chosen

    def seconds(self, key: str, default: float) -> float:
        """A duration such as `24h` or `90s`."""
        from lamina.base.units import seconds_of

        value = self._pairs.pop(key, None)
        if not value:
            return default
        try:
            return seconds_of(value)
        except ValueError:
            raise InvalidInput(
                f'{self.flag}: {key} must be a duration such as 90s or 24h, not "{value}"'
            ) from None

    def count(self, key: str, default: int) -> int:
        """A positive number."""
        value = self._pairs.pop(key, None)
        if value is None:
            return default
        if not value.isdigit() or not int(value):
            raise InvalidInput(f'{self.flag}: {key} must be a positive integer, not "{value}"')
        return int(value)

    def needed(self, key: str, kind: str, variable: str = "", environment: str = "") -> str:
        """A value, or that of an environment variable."""
        value = self._pairs.pop(key, "") or environment
        if not value:
            named = f" or the variable {variable}" if variable else ""
            raise InvalidInput(f"{self.flag} type={kind} needs {key}{named}")
        return value

    def finish(self, kind: str) -> None:
        """Refuse the attributes that are left."""
        if self._pairs:
            keys = ", ".join(sorted(self._pairs))
            raise InvalidInput(f"{self.flag}: type={kind} does not support {keys}")
