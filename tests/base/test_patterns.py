from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import InvalidInput, LaminaError
from lamina.base.patterns import PatternMatcher


@pytest.mark.parametrize(
    ("patterns", "path", "expected"),
    [
        (["a"], "a", True),
        (["a"], "a/b/c", True),
        (["a"], "ab", False),
        (["a"], "b/a", False),
        (["a/"], "a/b", True),
        (["./a/../b"], "b", True),
        (["/a"], "a", False),
        (["*"], "a/b", True),
        (["*.go"], "x.go", True),
        (["*.go"], "d/x.go", False),
        (["*/x.go"], "d/x.go", True),
        (["*/x.go"], "d/e/x.go", False),
        (["**"], "a/b", True),
        (["**/"], "a", True),
        (["**/x"], "x", True),
        (["**/x"], "a/b/x/y", True),
        (["**/x"], "a/bx", False),
        (["**x"], "a/bx", True),
        (["**/*.go"], "x.go", True),
        (["**/*.go"], "a/b/x.go", True),
        (["**/*.go"], "a/b/x.goo", False),
        (["a/**"], "a/b/c", True),
        (["a/**"], "a", False),
        (["a/**/b"], "a/b", True),
        (["a/**/b"], "a/x/y/b", True),
        (["a**b"], "ab", True),
        (["a**b"], "ax/b", True),
        (["a**b"], "axb", False),
        (["a?c"], "abc", True),
        (["a?c"], "a/c", False),
        (["[a-c]x"], "bx", True),
        (["[^a-c]x"], "bx", False),
        (["[^a-c]x"], "dx", True),
        (["[a\\-c]x"], "-x", True),
        (["[[]x"], "[x", True),
        (["a]"], "a]", True),
        ([r"\*"], "*", True),
        ([r"\*"], "a", False),
        ([".+(x)$"], ".+(x)$", True),
        (["a.b"], "aXb", False),
        (["a", "!a/b"], "a/b", False),
        (["a", "!a/b"], "a/c", True),
        (["a", "!a/b", "a/b/c"], "a/b/c", True),
        (["!a"], "a", False),
        (["*", "!*.md", "README*"], "x.md", False),
        (["*", "!*.md", "README*"], "README.md", True),
        (["", "  "], "a", False),
        ([" a "], "a", True),
        (["*a*b*c"], "xaxbxc", True),
        (["*a*b*c"], "xbxaxc", False),
        (["é*"], "été", True),
    ],
)
def test_matching(patterns: list[str], path: str, expected: bool) -> None:
    assert PatternMatcher(patterns).matches(path) is expected
    # The same with an exception that matches nothing, which uses the other code path.
    assert PatternMatcher([*patterns, "!no-such-name"]).matches(path) is expected


@pytest.mark.parametrize("pattern", ["[", "[]", "[]a]", "[a", "[a-", "[-a]", "[c-a]", "x\\", "!"])
def test_malformed(pattern: str) -> None:
    with pytest.raises(InvalidInput):
        PatternMatcher([pattern])


def test_many_stars() -> None:
    assert not PatternMatcher(["*a" * 40 + "b"]).matches("a" * 250)


@given(
    st.lists(st.text(alphabet="ab*?/[]^-!\\.", max_size=8), max_size=4), st.text("ab/", max_size=9)
)
def test_anything_is_matched_or_refused(patterns: list[str], path: str) -> None:
    with contextlib.suppress(LaminaError):
        PatternMatcher(patterns).matches(path)


@given(st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4))
def test_content_of_a_matched_folder_is_matched(parts: list[str]) -> None:
    for end in range(1, len(parts) + 1):
        assert PatternMatcher(["/".join(parts[:end])]).matches("/".join(parts))
