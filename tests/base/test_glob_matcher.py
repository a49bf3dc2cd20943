"""Globs match like their regular expression, in linear time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.base.glob_automaton import GlobAutomaton
from lamina.base.glob_matcher import ANYTHING, FOLDERS, NAME, GlobMatcher
from lamina.base.patterns import PatternMatcher, compile_glob

PIECES = st.lists(
    st.sampled_from([NAME, NAME, ANYTHING, FOLDERS, "a", "b", "/", "[^/]", "[ab]", "[^a]", r"\."]),
    max_size=9,
)
TEXTS = st.text("ab/.\n", max_size=12)


def naive(pieces: list[str], text: str, *, below: bool) -> bool:
    """Match with the plain regular expression, which may not end for longer texts."""
    expression = "".join(pieces) + (r"(?:/.*)?\Z" if below else r"\Z")
    return re.match(expression, text, re.DOTALL) is not None


@settings(max_examples=2000)
@given(PIECES, TEXTS, st.booleans())
def test_all_ways_of_matching_agree(pieces: list[str], text: str, below: bool) -> None:
    expected = naive(pieces, text, below=below)
    matcher = GlobMatcher(pieces, below=below)
    assert matcher(text) is expected
    assert GlobAutomaton(pieces, below=below).matches(text) is expected
    assert (re.match(matcher.expression, text, re.DOTALL) is not None) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        *("a", "*.log", "**/*.py[cod]", "**/node_modules/**", "src/**/test", "a*b*c?d*/[a-z]*"),
        *("*/*/x*y*", "**", "docs/*.md", "**/.git", "a/b/**"),
    ],
)
def test_usual_patterns_are_left_to_the_regular_expressions(pattern: str) -> None:
    [found] = PatternMatcher([pattern]).patterns
    assert found.matcher.is_linear


NAME_OF_120 = "a" * 120
DEEP = "/".join("a" * 50)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("*a" * 20 + "*b", "a" * 4000),
        ("*[a-c]" * 20 + "*b", "a" * 4000),
        ("*[^b]" * 20 + "*b", "a" * 4000),
        ("*[!-z]" * 20 + "*~", "a" * 4000),
        ("**/a" * 12 + "/**/b", "/".join("a" * 2000)),
        ("a**" * 12 + "b", "a/" * 2000),
        ("*/**/" * 12 + "b", "/".join("a" * 2000)),
        ("**/*a" * 10 + "b", "/".join(["aaaa"] * 800)),
        ("?*" * 20 + "b", "a" * 4000),
        ("**" + "*a" * 20 + "b", "a" * 4000),
        ("*" * 1000 + "b", "a" * 4000),
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_patterns_of_many_stars(pattern: str, text: str, alone: bool) -> None:
    patterns = [pattern] if alone else ["!zz", pattern, "z"]
    assert PatternMatcher(patterns).matches(text) is False


@pytest.mark.parametrize("part", ["*a", "*[a-c]", "*[^b]", "*?"])
def test_names_of_many_stars(part: str) -> None:
    assert not compile_glob(part * 20 + "*b")("a" * 4000)
    assert compile_glob(part * 20 + "*")("a" * 4000)
