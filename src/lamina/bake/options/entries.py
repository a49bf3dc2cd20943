"""Caches, outputs and attestations: a type with attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.bake.options.fields import fields, joined, pairs
from lamina.bake.values.convert import convert
from lamina.bake.values.value import STRING, Value, list_value, map_of, map_value, string
from lamina.base.booleans import parse_bool
from lamina.base.errors import InvalidInput
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_MAP = map_of(STRING)


class Entry(NamedTuple):
    """One entry. Attributes are in the order of their names; `disabled` is for attestations."""

    type: str
    attributes: tuple[tuple[str, str], ...] = ()
    disabled: bool = False

    def get(self, name: str) -> str:
        return dict(self.attributes).get(name, "")

    def with_attribute(self, name: str, value: str) -> Entry:
        changed = {**dict(self.attributes), name: value}
        return self._replace(attributes=tuple(sorted(changed.items())))

    @property
    def text(self) -> str:
        disabled = (("disabled", "true"),) if self.disabled else ()
        return joined((("type", self.type), *disabled, *self.attributes))

    @property
    def document(self) -> dict[str, object]:
        members: dict[str, object] = {**dict(self.attributes), "type": self.type}
        if self.disabled:
            members["disabled"] = True
        return dict(sorted(members.items()))


Entries = tuple[Entry, ...]


def _entry(members: Mapping[str, str]) -> Entry:
    attributes = {key: value for key, value in members.items() if key != "type"}
    if attributes.get("dest") == "":
        del attributes["dest"]
    return Entry(members.get("type", ""), tuple(sorted(attributes.items())))


def parse_caches(text: str) -> Entries:
    """`type=…,key=value`, or references in registries. Raises InvalidInput."""
    if not text:
        return ()
    if "=" not in text:
        return tuple(Entry("registry", (("ref", ref),)) for ref in fields(text))
    return (_typed(_entry({key.lower(): value for key, value in pairs(text)}), text),)


def parse_output(text: str) -> Entries:
    """`type=…,dest=…`, or a directory, or `-`. Raises InvalidInput."""
    if not text:
        return ()
    if fields(text) == [text] and not text.startswith("type="):
        return (Entry("tar" if text == "-" else "local", (("dest", text),)),)
    return (_typed(_entry({key.strip().lower(): value for key, value in pairs(text)}), text),)


def parse_attest(text: str) -> Entries:
    """`type=sbom|provenance,key=value`. Raises InvalidInput."""
    if not text:
        return ()
    members = {}
    for key, value in pairs(text):
        lower = key.strip().lower()
        members[lower if lower in ("type", "disabled") else key] = value
    return (_typed(_attest(members), text),)


def _attest(members: Mapping[str, str]) -> Entry:
    rest = {key: value for key, value in members.items() if key != "disabled"}
    if "disabled" not in members:
        return _entry(rest)
    disabled = parse_bool(members["disabled"])
    if disabled is None:
        raise InvalidInput(f'disabled is "{members["disabled"]}", neither true nor false')
    return _entry(rest)._replace(disabled=disabled)


def _typed(entry: Entry, given: str) -> Entry:
    if not entry.type:
        raise InvalidInput(f'the type is missing in "{given}"')
    return entry


def attest_flag(kind: str, text: str) -> str:
    """The attestation for `--sbom` or `--provenance`."""
    given = parse_bool(text)
    if given is not None:
        return f"type={kind},disabled={'false' if given else 'true'}"
    return f"type={kind},{text}"


def caches_of(value: Value) -> Entries:
    """Raises InvalidInput, ConversionError."""
    return _entries(value, parse_caches, _from_members)


def outputs_of(value: Value) -> Entries:
    """Raises InvalidInput, ConversionError."""
    return _entries(value, parse_output, _from_members)


def attests_of(value: Value) -> Entries:
    """Raises InvalidInput, ConversionError."""
    return _entries(value, parse_attest, _attest)


def _from_members(members: Mapping[str, str]) -> Entry:
    return _typed(_entry(members), joined(members.items()))


def _entries(
    value: Value, parse: Callable[[str], Entries], make: Callable[[Mapping[str, str]], Entry]
) -> Entries:
    found: list[Entry] = []
    for element in elements_of(value):
        if element.type == STRING:
            found += parse(element.text)
        else:
            members = convert(element, _MAP).members
            found.append(make({key: m.text for key, m in members.items() if not m.is_null}))
    return tuple(found)


def elements_of(value: Value) -> Iterable[Value]:
    """The elements of a list of options but those that are empty. Raises InvalidInput."""
    if value.type.kind not in ("list", "tuple"):
        raise InvalidInput("a list is required")
    for element in value.elements:
        if element.is_null:
            raise InvalidInput("an element is null")
        if element.type != STRING or element.text:
            yield element


def to_value(entries: Entries | None) -> Value:
    """The value in expressions: a list of maps."""
    members = (
        {key: string(str(value).lower() if value is True else str(value)) for key, value in items}
        for items in (entry.document.items() for entry in entries or ())
    )
    return list_value(_MAP, (map_value(STRING, each) for each in members))


def without_equals(entries: Entries) -> Entries:
    """Without repetitions, in the order that buildx leaves: the last entry takes the gap."""
    left = list(entries)
    for index in range(len(left) - 2, -1, -1):
        for other in range(index + 1, len(left)):
            if left[index] == left[other]:
                left[other] = left[-1]
                left.pop()
                break
    return tuple(left)


def last_of_type(entries: Entries) -> Entries:
    """One entry for each type: the last one, in the place of the first."""
    return tuple({entry.type: entry for entry in entries}.values())
