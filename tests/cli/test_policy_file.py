"""Source policies in files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

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
from lamina.base.errors import InvalidInput, NotFound
from lamina.cli.policy_file import read_policy

if TYPE_CHECKING:
    from pathlib import Path


def test_policy_files(tmp_path: Path) -> None:
    constraint = {"key": "k", "value": "v", "condition": "NOTEQUAL"}
    document = {
        "version": 1,
        "rules": [
            {"action": "DENY", "selector": {"identifier": "a*"}},
            {
                "action": "CONVERT",
                "selector": {"identifier": "b", "match_type": "REGEX", "constraints": [constraint]},
                "updates": {"identifier": "c", "attrs": {"y": "1", "x": "2"}},
            },
            {"action": 0, "selector": {"identifier": "d", "matchType": "EXACT"}},
            {},
        ],
    }
    (tmp_path / "policy").write_text(json.dumps(document))
    told = (AttrConstraint("k", "v", AttrMatch.NOT_EQUAL),)
    assert read_policy(str(tmp_path / "policy")) == Policy(
        1,
        (
            Rule(PolicyAction.DENY, Selector("a*")),
            Rule(
                PolicyAction.CONVERT,
                Selector("b", MatchType.REGEX, told),
                Update("c", (("x", "2"), ("y", "1"))),
            ),
            Rule(PolicyAction.ALLOW, Selector("d", MatchType.EXACT)),
            Rule(PolicyAction.ALLOW),
        ),
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not a source policy"),
        ("[]", "is not a source policy"),
        ('{"rules": [1]}', "is not a source policy"),
        ('{"rules": [{"action": "MAYBE"}]}', "MAYBE is not a PolicyAction"),
        ('{"rules": [{"selector": {"match_type": 9}}]}', "9 is not a valid MatchType"),
    ],
)
def test_malformed_and_missing_policy_files(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "policy").write_text(text)
    with pytest.raises(InvalidInput, match=reason):
        read_policy(str(tmp_path / "policy"))
    with pytest.raises(NotFound):
        read_policy(str(tmp_path / "none"))
