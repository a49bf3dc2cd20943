from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import InvalidInput, LaminaError
from lamina.dockerfile.expand import MAX_TEXT, Expander, ExpansionLimit

VARIABLES = {
    "name": "value",
    "empty": "",
    "file": "/srv/app/main.tar.gz",
    "two": "one two",
    "é": "accent",
    "star": "a*b",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$name", "value"),
        ("${name}", "value"),
        ("$nameless", ""),
        ("a$name-b", "avalue-b"),
        ("a${name}b", "avalueb"),
        (r"\$name", "$name"),
        (r"\\$name", r"\value"),
        ("'$name'", "$name"),
        ('"$name"', "value"),
        (r'"\$name \x"', r"$name \x"),
        ("'it''s'", "its"),
        ('"it\'s"', "it's"),
        ("$", "$"),
        ("$(cmd)", "$(cmd)"),
        ("$é", "accent"),
        ("$1", ""),
        ("$12x", "x"),
        ("$?x", "x"),
        ("${name:-other}", "value"),
        ("${empty:-other}", "other"),
        ("${empty-other}", ""),
        ("${unset-other}", "other"),
        ("${unset:-$name}", "value"),
        ("${unset:-${empty:-deep}}", "deep"),
        ("${name:+set}", "set"),
        ("${empty:+set}", ""),
        ("${empty+set}", "set"),
        ("${unset+set}", ""),
        ("${name:?no}", "value"),
        ("${file#*/}", "srv/app/main.tar.gz"),
        ("${file##*/}", "main.tar.gz"),
        ("${file%.*}", "/srv/app/main.tar"),
        ("${file%%.*}", "/srv/app/main"),
        ("${file#no}", "/srv/app/main.tar.gz"),
        ("${file%gz}", "/srv/app/main.tar."),
        ("${file##*a?}", ".gz"),
        (r"${star#a\*}", "b"),
        ("${file/a/A}", "/srv/App/main.tar.gz"),
        ("${file//a/A}", "/srv/App/mAin.tAr.gz"),
        (r"${file//\//_}", "_srv_app_main.tar.gz"),
        ("${file/*./}", "gz"),
        ("${file//nothing/x}", "/srv/app/main.tar.gz"),
        ("${name//l*/L}", "vaL"),
        ("${empty/x/y}", ""),
        (r"a\ b", "a b"),
        ("two  words", "two  words"),
        ("trailing\\", "trailing"),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert Expander(VARIABLES).word(text) == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("${name", "missing '}'"),
        ("${", "missing '}'"),
        ("${}", "bad substitution"),
        ("${{x}}", "bad substitution"),
        ("${name!x}", "unsupported modifier (!)"),
        ("${name:=x}", "unsupported modifier (:=)"),
        ("${name:#x}", "unsupported modifier (:#)"),
        ("'open", "single-quote"),
        ('"open', "double-quote"),
        ("${unset:?gone}", "unset: gone"),
        ("${unset?}", "is not allowed to be unset"),
        ("${empty:?}", "is not allowed to be empty"),
        ("${name/x}", "missing '/'"),
        (r"${name#\x}", "invalid escape"),
        ("${a:-" * 80 + "}" * 80, "nested too deep"),
    ],
)
def test_malformed(text: str, part: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Expander(VARIABLES).word(text)
    assert part in caught.value.reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b  c", ["a", "b", "c"]),
        ("$two", ["one", "two"]),
        ('"$two"', ["one two"]),
        ("x$two-y", ["xone", "two-y"]),
        (r"a\ b c", ["a b", "c"]),
        ("'a b' c", ["a b", "c"]),
        ("$empty", []),
        ("  ", []),
    ],
)
def test_splitting(text: str, expected: list[str]) -> None:
    assert Expander(VARIABLES).words(text) == expected


def test_backtick_escapes() -> None:
    rules = Expander(VARIABLES, "`")
    assert rules.word(r"c:\dir`$name") == r"c:\dir$name"


def test_a_heredoc_s_body_keeps_its_quotes() -> None:
    rules = Expander(VARIABLES, plain_quotes=True)
    assert rules.word("'$name' \"${two}\" it's") == "'value' \"one two\" it's"


def test_the_name_of_a_command_keeps_shell_syntax() -> None:
    rules = Expander(VARIABLES, raw_quotes=True, keep_unset=True)
    assert rules.word("""echo '$name' "$name" $other ${o:-x}""") == (
        """echo '$name' "value" $other ${o:-x}"""
    )


def test_used_variable_names_are_recorded() -> None:
    rules = Expander(VARIABLES)
    rules.word("$name ${missing} ${gone:-x}")
    assert rules.used == {"name"}
    assert rules.unset == {"missing", "gone"}


@given(st.text(alphabet="${}ab'\"\\:-+?#%/*` <", max_size=40))
def test_anything_is_expanded_or_refused(text: str) -> None:
    for rules in (Expander({"a": "b*/a", "b": ""}), Expander({"a": "x"}, "`", keep_unset=True)):
        try:
            rules.word(text)
            rules.words(text)
        except LaminaError:
            pass


@given(st.text(alphabet="ab*?", max_size=12), st.text(alphabet="ab", max_size=200))
def test_stripping_agrees_with_trying_every_length(pattern: str, value: str) -> None:
    import re

    glob = "".join({"*": ".*", "?": "."}.get(char, char) for char in pattern)
    whole = re.compile(glob, re.DOTALL)
    value = value[:24]
    ends = [end for end in range(len(value) + 1) if whole.fullmatch(value, 0, end)]
    variables = {"v": value}
    shortest = value[ends[0] :] if ends else value
    longest = value[ends[-1] :] if ends else value
    assert Expander(variables).word("${v#" + pattern + "}") == shortest
    assert Expander(variables).word("${v##" + pattern + "}") == longest
    starts = [start for start in range(len(value) + 1) if whole.fullmatch(value, start)]
    shortest = value[: starts[-1]] if starts else value
    longest = value[: starts[0]] if starts else value
    assert Expander(variables).word("${v%" + pattern + "}") == shortest
    assert Expander(variables).word("${v%%" + pattern + "}") == longest


def test_many_stars() -> None:
    text = "${v##" + "*a" * 60 + "b}"
    assert Expander({"v": "a" * 5000}).word(text) == "a" * 5000


@pytest.mark.parametrize(
    "text",
    [
        "$big" * 20,
        '"' + "$big" * 20 + '"',
        "${big:-x}" * 20,
        "${none:-" + "$big" * 20 + "}",
        "${big//a/$big}",
        "${big//a*/}" + "$big" * 20,
    ],
)
def test_a_text_that_grows_beyond_all_bounds_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="expand to more than 16 MiB") as caught:
        Expander({"big": "a" * (MAX_TEXT // 16)}).word(text)
    assert caught.value.hint


def test_text_of_the_largest_size_is_accepted() -> None:
    big = "a" * (MAX_TEXT // 2)
    assert len(Expander({"big": big}).word("$big$big")) == MAX_TEXT


def test_texts_that_grow_together_have_a_bound_in_all() -> None:
    limit = ExpansionLimit()
    variables = {"big": "a" * (MAX_TEXT // 2)}
    with pytest.raises(InvalidInput, match="all texts with variables expand to more than 64 MiB"):
        for _ in range(20):
            Expander(variables, limit=limit).word("$big")
