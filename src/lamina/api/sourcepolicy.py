"""Rules about sources (BuildKit's `sourcepolicy/pb/policy.proto`).

Enums are read as numbers: an unknown one is an error of the policy, not of the message.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from lamina.base.named_tuple import NamedTuple
from lamina.wire.fields import integer, many, mapping, one, string

if TYPE_CHECKING:
    from lamina.wire.protobuf import Schema


class PolicyAction(IntEnum):
    ALLOW = 0
    DENY = 1
    CONVERT = 2


class MatchType(IntEnum):
    WILDCARD = 0
    EXACT = 1
    REGEX = 2


class AttrMatch(IntEnum):
    EQUAL = 0
    NOT_EQUAL = 1
    MATCHES = 2


class AttrConstraint(NamedTuple):
    key: str = ""
    value: str = ""
    condition: int = AttrMatch.EQUAL


class Selector(NamedTuple):
    identifier: str = ""
    match_type: int = MatchType.WILDCARD
    constraints: tuple[AttrConstraint, ...] = ()


class Update(NamedTuple):
    """The replacement of a source that CONVERT matches; attributes are added to those of the
    source."""

    identifier: str = ""
    attrs: tuple[tuple[str, str], ...] = ()


class Rule(NamedTuple):
    action: int = PolicyAction.ALLOW
    selector: Selector | None = None
    updates: Update | None = None


class Policy(NamedTuple):
    """A policy. `version` is 1. Rules are applied in order."""

    version: int = 0
    rules: tuple[Rule, ...] = ()


SCHEMA: Schema = {
    AttrConstraint: (string(1, "key"), string(2, "value"), integer(3, "condition")),
    Selector: (
        string(1, "identifier"),
        integer(2, "match_type"),
        many(3, "constraints", AttrConstraint),
    ),
    Update: (string(1, "identifier"), mapping(2, "attrs")),
    Rule: (
        integer(1, "action"),
        one(2, "selector", Selector),
        one(3, "updates", Update),
    ),
    Policy: (integer(1, "version"), many(2, "rules", Rule)),
}
