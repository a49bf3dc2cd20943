"""The `--flag` words of an instruction, checked against its known flags."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.dockerfile.lexer import Node


class Kind(Enum):
    TEXT = auto()
    TEXTS = auto()
    SWITCH = auto()


class Flags:
    """The flags of an instruction. Raises InvalidInput for unknown, repeated or incomplete ones."""

    def __init__(self, node: Node, known: Mapping[str, Kind]) -> None:
        self._values: dict[str, list[str]] = {}
        for word in node.flags:
            flag, equals, value = word.partition("=")
            name = flag[2:]
            kind = known.get(name)
            if kind is None:
                raise _unknown(node.keyword, flag, known)
            values = self._values.setdefault(name, [])
            if values and kind is not Kind.TEXTS:
                raise InvalidInput(f"duplicate flag specified: {flag}")
            if kind is not Kind.SWITCH:
                if not equals:
                    raise InvalidInput(
                        f"missing a value on flag: {flag}", hint=f"write {flag}=value"
                    )
            elif equals and not value:
                raise InvalidInput(f"missing a value on flag: {flag}")
            elif value.lower() not in ("", "true", "false"):
                raise InvalidInput(
                    f"expecting boolean value for flag {flag}, not: {value}",
                    hint="use true or false",
                )
            values.append(value)

    def text(self, name: str) -> str:
        return self._values.get(name, [""])[0]

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(self._values.get(name, ()))

    def switch(self, name: str) -> bool | None:
        """The value of a boolean flag. None if it is not set."""
        if name not in self._values:
            return None
        return self._values[name][0].lower() != "false"


def _unknown(keyword: str, flag: str, known: Mapping[str, Kind]) -> InvalidInput:
    from lamina.dockerfile.suggest import suggest

    hint = suggest(flag[2:], known)
    if not hint:
        names = ", ".join(f"--{name}" for name in known)
        hint = f"{keyword} takes {names}" if names else f"{keyword} takes no flags"
    return InvalidInput(f"unknown flag: {flag}", hint=hint)
