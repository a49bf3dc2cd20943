from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import InvalidInput
from lamina.base.filters import Filter, parse_filters

FIELDS = {"type": "exec.cachemount", "id": "abc123", "labels.a b": "x,y", "inuse": ""}


def matches(*texts: str) -> bool:
    return parse_filters(texts).matches(lambda path: FIELDS.get(".".join(path)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "type==exec.cachemount",
        "type!=regular",
        "type~=^exec",
        "id~=c1",
        "id~=/^abc[0-9]+$/",
        r"id~=|abc\d+|",
        "inuse",
        'labels."a b"=="x,y"',
        'labels."a b"~="x,"',
        "type==exec.cachemount,id==abc123",
        " type == exec.cachemount , inuse",
        "missing!=x",
        "missing~=^$",
        r'id=="\x61bc\u0031\0623"',
    ],
)
def test_matching_filters(text: str) -> None:
    assert matches(text)


@pytest.mark.parametrize(
    "text",
    [
        "type==regular",
        "type!=exec.cachemount",
        "id~=^c",
        "mutable",
        "missing==x",
        "type==exec.cachemount,id==x",
        'labels."a b"=="x"',
        r'id=="\777"',
    ],
)
def test_filters_that_do_not_match(text: str) -> None:
    assert not matches(text)


def test_one_of_several_is_enough() -> None:
    assert matches("type==regular", "inuse")
    assert not matches("type==regular", "mutable")
    assert Filter().matches(lambda path: None)


REFUSED = ["=", "type=regular", "type===x", "type==", "a b", "a.", ".a", ",", "a,", "a<b", "é==x"]
REFUSED += ['id=="x', "id==|x|", "id==/x/", "id~=(", "type~=|x", r'id=="\q"', r'id=="\x6"']


@pytest.mark.parametrize("text", REFUSED)
def test_malformed_filters_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="filter"):
        parse_filters([text])


plain = st.text("abcXYZ019_", min_size=1)


@given(plain, st.sampled_from(["==", "!="]), plain)
def test_words_compare_as_they_are(name: str, operator: str, value: str) -> None:
    filters = parse_filters([f"{name}{operator}{value}"])
    equal = operator == "=="
    assert filters.matches(lambda path: value) is equal
    assert filters.matches(lambda path: value + "x") is not equal
    assert filters.matches(lambda path: None) is not equal


@given(st.text(st.characters(exclude_characters="\n")))
def test_quoted_values_compare_as_they_are(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_filters([f'a=="{quoted}"']).matches(lambda path: value)


@given(st.text('ab.,=!~"/|\\ x1'))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_filters([text]).matches(lambda path: "a")
    except InvalidInput as error:
        assert "filter" in str(error)


def test_regular_expressions_match_without_backtracking() -> None:
    # A backtracking matcher would not end within the timeout of the test.
    assert not parse_filters(["a~=|(x+x+)+y|"]).matches(lambda path: "x" * 4000)
