"""Properties of the parser, the evaluator and of merging, for any input."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.bake.evaluate.expression import evaluate
from lamina.bake.evaluate.scope import Scope
from lamina.bake.functions import standard_library
from lamina.bake.functions.versions import satisfies
from lamina.bake.hcl.parse import parse_body, parse_expression
from lamina.bake.hcl.syntax import Source
from lamina.bake.reading import read_definition
from lamina.bake.target import Target
from lamina.bake.values.json_values import from_json, to_json
from lamina.bake.values.number import parse_number, rounded, shown
from lamina.base.errors import InvalidInput

if TYPE_CHECKING:
    from lamina.bake.values.value import Value

LIBRARY = standard_library()

FRAGMENTS = st.sampled_from(
    (
        *('"', "${", "%{", "}", "{", "[", "]", "(", ")", "=", "=>", ",", ".", "...", "*", "?", ":"),
        *("for", "in", "if", "endif", "else", "endfor", "true", "null", "1", "-2.5e3", "a", "b-c"),
        *(
            "+",
            "-",
            "/",
            "%",
            "&&",
            "==",
            "!",
            "~",
            "\n",
            " ",
            "<<EOT\n",
            "EOT\n",
            "#",
            "/*",
            "\\n",
        ),
        *("target", "variable", "upper", "split", "é", "\u2028", "$${", "_x", "0", "[*]", ".*"),
    )
)


def value_of(text: str) -> Value:
    return evaluate(parse_expression(Source("test", text), 0, len(text)), Scope({}, LIBRARY))


@given(st.lists(FRAGMENTS, max_size=30).map("".join))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parse_body(Source("test", text))
    except InvalidInput as error:
        assert error.location is not None
        assert error.location.excerpt()


@given(st.lists(FRAGMENTS, max_size=20).map("".join))
def test_any_expression_has_a_value_or_an_error(text: str) -> None:
    try:
        value_of(text)
    except InvalidInput as error:
        assert error.location is not None


@given(
    st.sampled_from(sorted(set(LIBRARY) - {"bcrypt", "timestamp", "uuidv4"})),
    st.lists(
        st.sampled_from(
            (
                *("1", "0", "-3", "2.5", '"a"', '""', '"1.2.3"', '"10.0.0.0/8"', "null", "true"),
                *("[]", '["a", "b"]', "[1, null]", "{}", "{ a = 1 }", '[{ a = "x" }]', '"%d %s"'),
                *('"(a)(?P<n>b)"', '"2024-02-03T14:05:06Z"', "1e300", '"aGk="', "[[1], [2]]"),
            )
        ),
        max_size=4,
    ),
)
def test_any_call_has_a_value_or_an_error(name: str, arguments: list[str]) -> None:
    try:
        to_json(value_of(f"{name}({', '.join(arguments)})"))
    except InvalidInput as error:
        assert error.location is not None


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12
    )
)
def test_decimal_numbers_are_shown_as_they_are_written(number: object) -> None:
    written = f"{number:f}"
    assert Fraction(shown(parse_number(written))) == Fraction(written)


@given(st.fractions(), st.integers(1, 600))
def test_rounding(value: Fraction, precision: int) -> None:
    result = rounded(value, precision)
    assert rounded(result, precision) == result
    assert abs(result - value) * (1 << precision) <= abs(value)
    if result:
        mantissa = abs(result.numerator)
        mantissa >>= (mantissa & -mantissa).bit_length() - 1
        assert mantissa.bit_length() <= precision


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.text(st.characters(codec="ascii")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_json_is_read_and_written(document: object) -> None:
    written = to_json(from_json(json.dumps(document)))
    assert json.loads(written) == document
    assert written == to_json(
        value_of(
            f"jsondecode({json.dumps(json.dumps(document))})".replace("${", "$${").replace(
                "%{", "%%{"
            )
        )
    )


TEXTS = st.none() | st.lists(st.sampled_from(("a", "b", "", "c")), max_size=3).map(tuple)
PAIRS = st.none() | st.dictionaries(
    st.sampled_from("xyz"), st.none() | st.text("v"), max_size=2
).map(lambda members: tuple(sorted(members.items())))
TARGETS = st.builds(
    Target,
    tags=TEXTS,
    annotations=TEXTS,
    args=PAIRS,
    labels=PAIRS,
    context=st.none() | st.text("c"),
)


@given(TARGETS, TARGETS, TARGETS)
def test_merging_is_associative(one: Target, two: Target, three: Target) -> None:
    left = one.merged(two).merged(three).normalized()
    right = one.merged(two.merged(three)).normalized()
    assert left._replace(args=None, labels=None) == right._replace(args=None, labels=None)


@given(TARGETS)
def test_merging_with_nothing_changes_nothing(target: Target) -> None:
    assert target.merged(Target()) == target
    assert target.normalized().normalized() == target.normalized()


@pytest.mark.parametrize(
    ("version", "constraint", "expected"),
    [
        ("1.2.3", "~1.2", True),
        ("1.3.0", "~1.2", False),
        ("0.2.3", "^0.2.1", True),
        ("0.3.0", "^0.2.1", False),
        ("0.0.3", "^0.0.3", True),
        ("2.0.0", ">1", True),
        ("1.5.0", ">1", False),
        ("1.5.0-beta", ">1", False),
        ("1.5.0-beta.2", ">1.5.0-beta.1", True),
        ("1.2.3", "1.2.x", True),
        ("2.1.0", "1.2 - 2.2", True),
    ],
)
def test_versions(version: str, constraint: str, expected: bool) -> None:
    assert satisfies(version, constraint) is expected


def test_a_matrix_makes_a_group() -> None:
    text = 'target "a" {\n  name = "a-${x}"\n  matrix = { x = [1, 2] }\n}'
    definition = read_definition([Source("docker-bake.hcl", text)], {}, {})
    assert [target.name for target in definition.targets] == ["a-1", "a-2"]
    (group,) = definition.groups
    assert (group.name, group.targets) == ("a", ("a-1", "a-2"))
