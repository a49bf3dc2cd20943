"""Source policy rules: matches and actions."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.api.sourcepolicy import (
    AttrConstraint,
    AttrMatch,
    MatchType,
    Policy,
    PolicyAction,
    Rule,
    Selector,
    Update,
)
from lamina.base.errors import InvalidInput, LaminaError, PermissionDenied
from lamina.llb.op import SourceOp
from lamina.policy.rules import SourcePolicies

ANY = st.text(st.characters(exclude_categories=()))
BUSYBOX = SourceOp("docker-image://docker.io/library/busybox:1.34")


def rule(action: int, identifier: str, match: int = MatchType.WILDCARD, **fields: Any) -> Rule:
    constraints = fields.pop("constraints", ())
    selector = Selector(identifier, match, constraints)
    return Rule(action, selector, **fields)


def evaluated(source: SourceOp, *rules: Rule) -> SourceOp:
    return SourcePolicies([Policy(1, rules)]).evaluate(source)


@pytest.mark.parametrize(
    ("identifier", "match", "found"),
    [
        (BUSYBOX.identifier, MatchType.EXACT, True),
        (BUSYBOX.identifier, MatchType.REGEX, True),  # though its dots would match as well
        ("docker-image://docker.io/library/busybox:*", MatchType.WILDCARD, True),
        ("docker-image://docker.io/library/busybox:*", MatchType.EXACT, False),
        ("docker-image://*/busybox:1.3?", MatchType.WILDCARD, False),
        ("*", MatchType.WILDCARD, True),
        ("library", MatchType.WILDCARD, False),
        ("library", MatchType.REGEX, True),
        ("^docker-image://[^/]*/library/", MatchType.REGEX, True),
        ("^library", MatchType.REGEX, False),
    ],
)
def test_selectors(identifier: str, match: MatchType, found: bool) -> None:
    denies = rule(PolicyAction.DENY, identifier, match)
    if not found:
        assert evaluated(BUSYBOX, denies) == BUSYBOX
        return
    with pytest.raises(PermissionDenied, match="source denied by policy: docker-image://docker"):
        evaluated(BUSYBOX, denies)


@pytest.mark.parametrize(
    ("condition", "value", "found"),
    [
        (AttrMatch.EQUAL, "pull", True),
        (AttrMatch.EQUAL, "local", False),
        (AttrMatch.NOT_EQUAL, "local", True),
        (AttrMatch.NOT_EQUAL, "pull", False),
        (AttrMatch.MATCHES, "^p.*l$", True),
        (AttrMatch.MATCHES, "x", False),
    ],
)
def test_constraints_on_attributes(condition: AttrMatch, value: str, found: bool) -> None:
    source = BUSYBOX._replace(attrs=(("mode", "pull"),))
    constraints = (AttrConstraint("mode", value, condition),)
    converts = rule(
        *(PolicyAction.CONVERT, "*"), constraints=constraints, updates=Update("local://x")
    )
    assert (evaluated(source, converts).identifier == "local://x") is found


def test_the_last_rule_that_matches_decides() -> None:
    deny, allow = rule(PolicyAction.DENY, "*"), rule(PolicyAction.ALLOW, "*busybox*")
    assert evaluated(BUSYBOX, deny, allow) == BUSYBOX
    with pytest.raises(PermissionDenied):
        evaluated(BUSYBOX, allow, deny)


@pytest.mark.parametrize(
    ("match", "identifier", "target", "found"),
    [
        (MatchType.EXACT, BUSYBOX.identifier, "http://x/$1", "http://x/$1"),
        (
            *(MatchType.WILDCARD, "docker-image://docker.io/library/*:*"),
            *("docker-image://mirror/${1}/v$2", "docker-image://mirror/busybox/v1.34"),
        ),
        (MatchType.WILDCARD, "*/busybox:*", "$3-$$-$2", "-$-1.34"),
        (
            *(MatchType.REGEX, "docker[.]io/(?P<path>[a-z]+)"),
            *("mirror/${path}", "docker-image://mirror/library/busybox:1.34"),
        ),
        (MatchType.REGEX, "[0-9]", "n", "docker-image://docker.io/library/busybox:n.nn"),
    ],
)
def test_conversions(match: MatchType, identifier: str, target: str, found: str) -> None:
    converts = rule(PolicyAction.CONVERT, identifier, match, updates=Update(target))
    assert evaluated(BUSYBOX, converts).identifier == found


def test_attributes_are_added_and_later_rules_apply_to_the_converted_source() -> None:
    pinned = rule(
        PolicyAction.CONVERT, "https://a/*", updates=Update("", (("http.checksum", "c"),))
    )
    assert evaluated(SourceOp("https://a/b", (("k", "v"),)), pinned) == SourceOp(
        "https://a/*", (("http.checksum", "c"), ("k", "v"))
    )
    to_b = rule(PolicyAction.CONVERT, "http://a", updates=Update("http://b"))
    with pytest.raises(PermissionDenied, match="http://b"):
        evaluated(SourceOp("http://a"), rule(PolicyAction.DENY, "http://b"), to_b)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Rule(PolicyAction.DENY), "invalid nil selector"),
        (rule(9000, "*"), "unknown type 9000"),
        (rule(PolicyAction.DENY, "*", 7), "unknown match type: 7"),
        (rule(PolicyAction.DENY, "**"), "invalid wildcard"),
        (rule(PolicyAction.DENY, "(", MatchType.REGEX), r"invalid regex \"\(\": missing \)"),
        (rule(PolicyAction.CONVERT, "*"), "missing destination for convert rule"),
        (rule(PolicyAction.DENY, "*", constraints=(AttrConstraint("a", "", 3),)), "condition: 3"),
        (
            rule(PolicyAction.CONVERT, "http://*", updates=Update("http://${1}x")),
            "too many mutations",
        ),
    ],
)
def test_rules_that_make_no_sense(bad: Rule, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        evaluated(SourceOp("http://a"), bad)


def test_patterns_cannot_keep_a_daemon_busy() -> None:
    # A backtracking matcher would not end.
    evaluated(SourceOp("a" * 20_000), rule(PolicyAction.DENY, "(a*)*(a*)*(a|a)*b", MatchType.REGEX))


@pytest.mark.parametrize("target", ["$0$0", "x" * 5000])
def test_names_do_not_grow_without_bounds(target: str) -> None:
    grows = rule(PolicyAction.CONVERT, ".+", MatchType.REGEX, updates=Update(target))
    with pytest.raises(InvalidInput, match="more than 4096 characters"):
        evaluated(BUSYBOX, grows)


@given(ANY, ANY, ANY, st.sampled_from(list(MatchType)))
def test_any_rule_is_followed_or_refused(
    name: str, pattern: str, to: str, match: MatchType
) -> None:
    with suppress(LaminaError):
        evaluated(SourceOp(name), rule(PolicyAction.CONVERT, pattern, match, updates=Update(to)))
