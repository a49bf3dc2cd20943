"""The attributes of `target` and `group` blocks: their types and meanings.

https://docs.docker.com/build/bake/reference/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.bake.options.credentials import secrets_of, secrets_value, ssh_of, ssh_value
from lamina.bake.options.entries import attests_of, caches_of, outputs_of, to_value
from lamina.bake.options.policies import policies_of, policies_value
from lamina.bake.options.resources import resources_of, resources_value
from lamina.bake.target import Group, Pairs, Target, sorted_pairs
from lamina.bake.values.convert import ConversionError, convert
from lamina.bake.values.value import (
    BOOL,
    STRING,
    Value,
    boolean,
    list_of,
    list_value,
    map_of,
    map_value,
    null,
    object_value,
    string,
)
from lamina.base.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TEXTS = list_of(STRING)
_TABLE = map_of(STRING)


class AttributeKind(NamedTuple):
    """The conversion of one attribute from a value, and to a value for expressions.

    `read` raises ConversionError and InvalidInput; it does not get nulls.
    """

    read: Callable[[Value], Any]
    value: Callable[[Any], Value]


def _text(value: Value) -> str:
    return convert(value, STRING).text


def _text_value(text: str | None) -> Value:
    return null(STRING) if text is None else string(text)


def _truth(value: Value) -> bool:
    return convert(value, BOOL).truth


def _truth_value(truth: bool | None) -> Value:
    return null(BOOL) if truth is None else boolean(truth)


def _texts(value: Value) -> tuple[str, ...]:
    elements = convert(value, _TEXTS).elements
    if any(element.is_null for element in elements):
        raise ConversionError("an element is null")
    return tuple(element.text for element in elements)


def _texts_value(texts: tuple[str, ...] | None) -> Value:
    return null(_TEXTS) if texts is None else list_value(STRING, map(string, texts))


def _pairs(value: Value) -> Pairs:
    members = convert(value, _TABLE).members
    return sorted_pairs({k: None if m.is_null else m.text for k, m in members.items()})


def _strict_pairs(value: Value) -> Pairs:
    pairs = _pairs(value)
    for key, text in pairs:
        if text is None:
            raise ConversionError(f'"{key}" is null')
    return pairs


def _pairs_value(pairs: Pairs | None) -> Value:
    if pairs is None:
        return null(_TABLE)
    return map_value(STRING, {key: _text_value(text) for key, text in pairs})


TEXT = AttributeKind(_text, _text_value)
TRUTH = AttributeKind(_truth, _truth_value)
TEXTS = AttributeKind(_texts, _texts_value)
PAIRS = AttributeKind(_pairs, _pairs_value)
_CACHES = AttributeKind(caches_of, to_value)

TARGET: Mapping[str, AttributeKind] = {
    "annotations": TEXTS,
    "args": PAIRS,
    "attest": AttributeKind(attests_of, to_value),
    "cache-from": _CACHES,
    "cache-to": _CACHES,
    "call": TEXT,
    "context": TEXT,
    "contexts": AttributeKind(_strict_pairs, _pairs_value),
    "description": TEXT,
    "dockerfile": TEXT,
    "dockerfile-inline": TEXT,
    "entitlements": TEXTS,
    "extra-hosts": PAIRS,
    "inherits": TEXTS,
    "labels": PAIRS,
    "network": TEXT,
    "no-cache": TRUTH,
    "no-cache-filter": TEXTS,
    "output": AttributeKind(outputs_of, to_value),
    "platforms": TEXTS,
    "policy": AttributeKind(policies_of, policies_value),
    "pull": TRUTH,
    "resources": AttributeKind(resources_of, resources_value),
    "secret": AttributeKind(secrets_of, secrets_value),
    "shm-size": TEXT,
    "ssh": AttributeKind(ssh_of, ssh_value),
    "tags": TEXTS,
    "target": TEXT,
    "ulimits": TEXTS,
}

GROUP: Mapping[str, AttributeKind] = {"description": TEXT, "targets": TEXTS}

KINDS = {"target": TARGET, "group": GROUP}


def field(attribute: str) -> str:
    """The field of `Target` or `Group` with an attribute."""
    return attribute.replace("-", "_")


def to_object(kind: str, name: str, known: Mapping[str, Any]) -> Value:
    """The value of `target.name` in expressions: an object with all attributes, or nulls."""
    members = {key: each.value(known.get(field(key))) for key, each in KINDS[kind].items()}
    return object_value({**members, "name": string(name)})


def make_target(name: str, known: Mapping[str, Any]) -> Target:
    fields = {key: value for key, value in known.items() if value is not None}
    return Target(**{**fields, "name": name})


def make_group(name: str, known: Mapping[str, Any]) -> Group:
    fields = {key: value for key, value in known.items() if value is not None}
    return Group(**{**fields, "name": name})
