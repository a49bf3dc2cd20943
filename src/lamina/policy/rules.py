"""Rules that allow, deny or convert sources (BuildKit's `sourcepolicy`).

Patterns of clients are matched by RE2, as in BuildKit, so that they cannot keep a daemon busy.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lamina.api.sourcepolicy import AttrMatch, MatchType, PolicyAction
from lamina.base.errors import InvalidInput, PermissionDenied
from lamina.base.go_regexp import compile_regexp, searchable
from lamina.base.redact import redacted
from lamina.llb.op import SourceOp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamina.api.sourcepolicy import AttrConstraint, Policy, Rule, Selector

_MOST_CHANGES = 20
_LONGEST = 4096  # the maximum length of a source's name: each rule may make it longer
_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})", re.ASCII)


class SourcePolicies:
    """Policies, which are applied to a source in order. Raises InvalidInput for malformed ones."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        for policy in policies:
            for rule in policy.rules:
                if rule.selector is None:
                    raise InvalidInput("invalid nil selector in policy")
        self._policies = [
            [_Rule(rule, rule.selector) for rule in p.rules if rule.selector] for p in policies
        ]

    def evaluate(self, source: SourceOp) -> SourceOp:
        """Apply the policies to a source. Returns it, or its replacement.

        Raises PermissionDenied (a rule denies it), InvalidInput (a rule is invalid).
        """
        for _ in range(_MOST_CHANGES + 1):
            changed = self._once(source)
            if changed is None:
                return source
            source = changed
        raise InvalidInput(
            f"too many mutations on a single source: {source.identifier}",
            hint="the rules that convert sources form a cycle",
        )

    def _once(self, source: SourceOp) -> SourceOp | None:
        """Apply the first rule that changes a source."""
        for rules in self._policies:
            denied = False
            for rule in rules:
                if not rule.matches(source):
                    continue
                if rule.action is PolicyAction.CONVERT:
                    changed = rule.convert(source)
                    if changed != source:
                        return changed
                else:
                    denied = rule.action is PolicyAction.DENY
            if denied:
                raise PermissionDenied(f"source denied by policy: {redacted(source.identifier)}")
        return None


class _Rule:
    def __init__(self, rule: Rule, selector: Selector) -> None:
        self._selector = selector
        self._updates = rule.updates
        self._action = rule.action

    @property
    def action(self) -> PolicyAction:
        try:
            return PolicyAction(self._action)
        except ValueError:
            name = self._selector.identifier
            raise InvalidInput(f"source policy: rule {name}: unknown type {self._action}") from None

    def matches(self, source: SourceOp) -> bool:
        attrs = dict(source.attrs)
        if not all(_holds(constraint, attrs) for constraint in self._selector.constraints):
            return False
        if self._selector.identifier == source.identifier:
            return True
        name = searchable(source.identifier)
        return self._pattern is not None and self._pattern.search(name) is not None

    def convert(self, source: SourceOp) -> SourceOp:
        updates = self._updates
        if updates is None:
            raise InvalidInput("missing destination for convert rule")
        target = self._formatted(source.identifier, updates.identifier or self._selector.identifier)
        attrs = {**dict(source.attrs), **dict(updates.attrs)}
        return SourceOp(target or source.identifier, tuple(sorted(attrs.items())))

    @cached_property
    def _pattern(self) -> Any:
        """The pattern of the selector, None if it only matches its own text."""
        text = self._selector.identifier
        match self._selector.match_type:
            case MatchType.EXACT:
                return None
            case MatchType.REGEX:
                return compile_regexp(text)
            case MatchType.WILDCARD:
                if "**" in text:
                    raise InvalidInput(f'invalid wildcard "{text}": "**"')
                return compile_regexp("^" + re.escape(text).replace(r"\*", "(.*)") + "$")
        raise InvalidInput(f"unknown match type: {self._selector.match_type}")

    def _formatted(self, identifier: str, template: str) -> str:
        if self._pattern is None:
            return template
        _check_length(template)
        identifier = searchable(identifier)
        found = self._pattern.search(identifier)
        if self._selector.match_type == MatchType.WILDCARD:
            return identifier if found is None else _check_length(_expanded(template, found))
        made = ""
        at = 0
        for match in self._pattern.finditer(identifier):
            made += identifier[at : match.start()] + _expanded(template, match)
            at = match.end()
            _check_length(made)
        return _check_length(made + identifier[at:])


def _holds(constraint: AttrConstraint, attrs: Mapping[str, str]) -> bool:
    value = attrs.get(constraint.key, "")
    match constraint.condition:
        case AttrMatch.EQUAL:
            return value == constraint.value
        case AttrMatch.NOT_EQUAL:
            return value != constraint.value
        case AttrMatch.MATCHES:
            return compile_regexp(constraint.value).search(searchable(value)) is not None
    raise InvalidInput(f"unknown attr condition: {constraint.condition}")


def _check_length(name: str) -> str:
    if len(name) > _LONGEST:
        raise InvalidInput(f"a policy converts a source's name to more than {_LONGEST} characters")
    return name


def _expanded(template: str, match: Any) -> str:
    """Go's `Regexp.Expand`: `$1`, `${name}`, `$$`. A missing group is empty."""

    def group(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        try:
            return match.group(int(name) if name.isdigit() else name) or ""
        except (IndexError, KeyError):
            return ""

    return _REFERENCE.sub(group, template)
