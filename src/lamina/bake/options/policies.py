"""`policy` of a target: how its sources are checked."""

from __future__ import annotations

from typing import Any

from lamina.bake.options.entries import elements_of
from lamina.bake.options.fields import pairs
from lamina.bake.values.convert import ConversionError
from lamina.bake.values.number import shown
from lamina.bake.values.value import STRING, Value, list_value, map_of, map_value, string
from lamina.base.booleans import parse_bool
from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple

_LEVELS = ("panic", "fatal", "error", "warning", "info", "debug", "trace")


class Policy(NamedTuple):
    """`strict` and `log_level` are None or "" if they are not given."""

    files: tuple[str, ...] = ()
    reset: bool = False
    disabled: bool = False
    strict: bool | None = None
    log_level: str = ""

    @property
    def document(self) -> dict[str, object]:
        files = [{"Filename": name, "Data": None} for name in self.files]
        return {
            "Files": files or None,
            "Reset": self.reset,
            "Disabled": self.disabled,
            "Strict": self.strict,
            "LogLevel": self.log_level or None,
        }


def parse_policy(text: str) -> Policy:
    """`filename=…,reset=true,disabled=true,strict=true,log-level=…`. Raises InvalidInput."""
    return _policy(pairs(text), text)


def _policy(given: list[tuple[str, str]], text: str) -> Policy:
    policy = Policy()
    for key, value in given:
        match key.strip().lower():
            case "filename" if value:
                policy = policy._replace(files=(*policy.files, value))
            case "log-level":
                level = {"warn": "warning"}.get(value.lower(), value.lower())
                if level not in _LEVELS:
                    raise InvalidInput(f'there is no log level "{value}"', hint=", ".join(_LEVELS))
                policy = policy._replace(log_level=level)
            case ("reset" | "disabled" | "strict") as name:
                truth = parse_bool(value)
                if truth is None:
                    raise InvalidInput(f'{name} is "{value}", neither true nor false')
                changes: dict[str, Any] = {name: truth}
                policy = policy._replace(**changes)
            case name:
                raise InvalidInput(f'invalid field "{name}={value}" in policy "{text}"')
    return policy


def policies_of(value: Value) -> tuple[Policy, ...]:
    """Raises InvalidInput, ConversionError."""
    found = []
    for element in elements_of(value):
        if element.type == STRING:
            found.append(parse_policy(element.text))
        elif element.type.is_mapping:
            given = [
                (key, _text(member))
                for key, member in element.members.items()
                if not member.is_null and member.data != ""
            ]
            found.append(_policy(given, "policy"))
        else:
            raise ConversionError("map of string required")
    return tuple(found)


def _text(value: Value) -> str:
    match value.type.kind:
        case "string":
            return value.text
        case "bool":
            return "true" if value.truth else "false"
        case "number":
            return shown(value.number)
    raise ConversionError("string required")


def policies_value(policies: tuple[Policy, ...] | None) -> Value:
    return list_value(map_of(STRING), map(_value, policies or ()))


def _value(policy: Policy) -> Value:
    members = {
        "filename": policy.files[0] if policy.files else "",
        "reset": "true" if policy.reset else "",
        "disabled": "true" if policy.disabled else "",
        "strict": "" if policy.strict is None else str(policy.strict).lower(),
        "log-level": policy.log_level,
    }
    return map_value(STRING, {key: string(value) for key, value in members.items() if value})
