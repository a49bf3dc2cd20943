"""Git URLs: both syntaxes for a ref, and contradictions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import InvalidInput
from lamina.base.git_url import GitUrl, is_git_context, is_git_url, parse_git_url

AT = "https://h.example/x.git"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (AT, GitUrl(AT)),
        (f"{AT}#v1", GitUrl(AT, "v1")),
        (f"{AT}#:a/../b/", GitUrl(AT, "", "b")),
        (f"{AT}#v1:../../etc", GitUrl(AT, "v1", "etc")),
        (f"{AT}?ref=v1&subdir=s%2Ft", GitUrl(AT, "v1", "s/t")),
        (f"{AT}?tag=v1", GitUrl(AT, "refs/tags/v1")),
        (f"{AT}?tag=v1#refs/tags/v1", GitUrl(AT, "refs/tags/v1")),
        (f"{AT}?branch=refs/heads/b", GitUrl(AT, "refs/heads/b")),
        (f"{AT}?commit=abc", GitUrl(AT, commit="abc")),
        (
            f"{AT}?keep-git-dir&submodules=0",
            GitUrl(AT, keep_git_dir=True, submodules=False),
        ),
        (f"{AT}?keep-git-dir=F&submodules", GitUrl(AT, keep_git_dir=False)),
        (f"{AT}?mtime=commit&fetch-by-commit", GitUrl(AT, mtime="commit", by_commit=True)),
        ("git@h.example:x#b:s", GitUrl("git@h.example:x", "b", "s")),
        ("github.com/o/n#b", GitUrl("https://github.com/o/n", "b")),
    ],
)
def test_forms(text: str, expected: GitUrl) -> None:
    assert is_git_context(text)
    assert parse_git_url(text) == expected


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?tag=v1#refs/heads/v1", "ref conflicts"),
        ("?ref=a#b", "ref conflicts"),
        ("?branch=a&ref=b", "ref conflicts"),
        ("?branch=a&tag=a", "branch conflicts with tag"),
        ("?subdir=a#b:c", "subdir conflicts"),
        ("?ref=a&ref=b", "multiple values"),
        ("?ref=", "has no value"),
        ("?submodules=perhaps", "invalid submodules value"),
        ("?mtime=now", "invalid mtime value"),
        ("?colour=red", 'unexpected query "colour"'),
        ("?ref=--upload-pack=x", "is not a ref"),
        ("#a..^b", "is not a ref"),
    ],
)
def test_contradictions(query: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said.replace("?", r"\?")) as caught:
        parse_git_url(f"https://me:pass@h.example/x.git{query}")
    assert "pass@" not in str(caught.value)


@given(st.text(alphabet="ab:/?#&=.%-@gith\n", max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for prefix in ("git://", "u@h:", ""):
        if not is_git_url(prefix + text):
            continue
        try:
            url = parse_git_url(prefix + text)
        except InvalidInput:
            continue
        assert not url.ref.startswith("-")
        assert not url.folder.startswith("/")
        assert ".." not in url.folder.split("/")


def test_short_names_are_only_for_contexts() -> None:
    assert not is_git_url("github.com/o/n")
