"""Secrets and SSH agents."""

from __future__ import annotations

from lamina.bake.options.entries import elements_of
from lamina.bake.options.fields import fields, joined
from lamina.bake.values.convert import convert
from lamina.bake.values.value import STRING, Value, list_of, list_value, object_of, object_value
from lamina.bake.values.value import string as text_value
from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple

_SECRET = object_of(dict.fromkeys(("id", "src", "env"), STRING), ("id", "src", "env"))
_SSH = object_of({"id": STRING, "paths": list_of(STRING)}, ("id", "paths"))


class Secret(NamedTuple):
    id: str = ""
    src: str = ""
    env: str = ""

    @property
    def text(self) -> str:
        return joined((key, value) for key, value in self._asdict().items() if value)

    @property
    def document(self) -> dict[str, object]:
        return {key: value for key, value in self._asdict().items() if value}


class Ssh(NamedTuple):
    id: str = ""
    paths: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return f"{self.id}={','.join(self.paths)}" if self.paths else self.id

    @property
    def document(self) -> dict[str, object]:
        members: dict[str, object] = {"id": self.id, "paths": list(self.paths)}
        return {key: value for key, value in members.items() if value}


def parse_secret(text: str) -> Secret:
    """`id=…,src=…`, or `env=…`. Raises InvalidInput."""
    kind = ""
    found = {"id": "", "src": "", "env": ""}
    for field in fields(text):
        key, equals, value = field.partition("=")
        key = key.lower()
        if not equals:
            raise InvalidInput(f'invalid field "{field}" in secret "{text}"')
        if key == "type":
            if value not in ("file", "env"):
                raise InvalidInput(f'unsupported secret type "{value}"', hint="file or env")
            kind = value
        elif key in ("id", "src", "source", "env"):
            found["src" if key == "source" else key] = value
        else:
            raise InvalidInput(f'unexpected key "{key}" in secret "{text}"')
    if kind == "env" and not found["env"]:
        found["env"], found["src"] = found["src"], ""
    return Secret(**found)


def parse_ssh(text: str) -> Ssh:
    """`id`, or `id=socket,key,…`."""
    name, equals, paths = text.partition("=")
    return Ssh(name, tuple(paths.split(",")) if equals else ())


def secrets_of(value: Value) -> tuple[Secret, ...]:
    """Raises InvalidInput, ConversionError."""
    found = []
    for element in elements_of(value):
        if element.type == STRING:
            found.append(parse_secret(element.text))
        else:
            members = convert(element, _SECRET).members
            found.append(Secret(**{k: "" if m.is_null else m.text for k, m in members.items()}))
    return tuple(found)


def ssh_of(value: Value) -> tuple[Ssh, ...]:
    """Raises InvalidInput, ConversionError."""
    found = []
    for element in elements_of(value):
        if element.type == STRING:
            found.append(parse_ssh(element.text))
        else:
            members = convert(element, _SSH).members
            name, paths = members["id"], members["paths"]
            listed = () if paths.is_null else tuple(path.text for path in paths.elements)
            found.append(Ssh("" if name.is_null else name.text, listed))
    return tuple(found)


def secrets_value(secrets: tuple[Secret, ...] | None) -> Value:
    kind = object_of(dict.fromkeys(("id", "src", "env"), STRING))
    return list_value(
        kind,
        (
            object_value({key: text_value(member) for key, member in secret._asdict().items()})
            for secret in secrets or ()
        ),
    )


def ssh_value(agents: tuple[Ssh, ...] | None) -> Value:
    kind = object_of({"id": STRING, "paths": list_of(STRING)})
    return list_value(
        kind,
        (
            object_value(
                {
                    "id": text_value(agent.id),
                    "paths": list_value(STRING, map(text_value, agent.paths)),
                }
            )
            for agent in agents or ()
        ),
    )


def last_secrets(secrets: tuple[Secret, ...]) -> tuple[Secret, ...]:
    """One for each ID: the last one, in the place of the first."""
    return tuple({secret.id: secret for secret in secrets}.values())


def last_ssh(agents: tuple[Ssh, ...]) -> tuple[Ssh, ...]:
    """One for each ID: the last one, in the place of the first."""
    return tuple({agent.id: agent for agent in agents}.values())
