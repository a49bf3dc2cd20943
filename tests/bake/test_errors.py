"""Mistakes in bake files are errors with a location, and never tracebacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lamina.bake.hcl.syntax import Source
from lamina.bake.overrides import parse_overrides
from lamina.bake.reading import read_definition
from lamina.bake.selection import select
from lamina.base.errors import InvalidInput, LaminaError

if TYPE_CHECKING:
    from collections.abc import Sequence


def build(text: str, *given: str, name: str = "docker-bake.hcl", target: str = "default") -> None:
    definition = read_definition([Source(name, text)], {"BAKE_CMD_CONTEXT": "cwd://"}, {})
    select(definition, [target], parse_overrides(definition, given, {}))


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('target "a" {\n  tags = ["x"\n}', 3, "a comma or a closing bracket is expected"),
        ('target "a" {', 1, "this block has no closing brace"),
        ("a = 'x'", 1, "strings need double quotes"),
        ('a = "x\n', 1, "this string has no closing quote"),
        ("a = 1\na = 2", 2, "is set in line 1 already"),
        ("a = <<EOT\nx\n", 1, "this heredoc has no line EOT"),
        ('a = "${b"', 1, "a closing brace is expected"),
        ('a = "%{ if b }"', 1, "%{ if } has no %{ endif }"),
        ('a = "\\q"', 1, "is no escape sequence"),
        ("a = { b.c = 1 }", 1, "a key with a dot is ambiguous"),
        ("a = b", 1, 'there is no variable "b"'),
        ("a = b()", 1, 'there is no function "b"'),
        ("a = b\nb = a", 1, 'variable "a" depends on itself'),
        ('a = upper("x", "y")', 1, "takes 1 argument, not 2"),
        ("a = upper(null)", 1, "must not be null"),
        ("a = 1 + [2]", 1, "this operand does not fit"),
        ("a = 1 / 0", 1, "division by zero"),
        ("a = [1][2]", 1, "there is no such element"),
        ("a = { b = 1 }.c", 1, 'there is no attribute "c"'),
        ('a = true ? "x" : [1]', 1, "different types"),
        ('a = "x${null}"', 1, "null value cannot be part of a string"),
        ("a = { for x in [1, 1] : x => x }", 1, 'the key "1" occurs twice'),
        ('target "a b" {}', 1, 'invalid name "a b"'),
        ('target "a" {\n  name = "b"\n}', 2, "a name is for targets with a matrix"),
        ('target "a" {\n  matrix = { x = [1, 2] }\n}', 1, 'the matrix makes several targets "a"'),
        ('target "a" {\n  matrix = [1]\n}', 2, "a matrix is a map of lists"),
        ('target "a" {\n  args = { x = target.a.args.x }\n}', 1, "depends on itself"),
        ('target "a" {\n  cache-to = ["dest=x"]\n}', 2, "the type is missing"),
        ('target "a" {\n  tags = "x"\n}', 2, "list of string required"),
        ('target "a" {\n  tags = [null]\n}', 2, "an element is null"),
        ('target "a" {\n  resources = { cpus = 1, memory = [] }\n}', 2, '"resources"'),
        ('group "a" {}', 1, 'group "a" needs "targets"'),
        ('variable "a" {\n  type = text\n}', 2, "this is no type"),
        ('variable "a" {\n  type = number\n  default = "x"\n}', 3, "a number is required"),
        (
            'variable "a" {\n  default = 1\n  validation {\n    condition = a > 1\n'
            '    error_message = "too small"\n  }\n}',
            4,
            "too small",
        ),
        ('function "f" {\n  params = ["x"]\n  result = 1\n}', 2, "a parameter is a name"),
        ('function "f" {\n  params = []\n  result = f()\n}', 1, "depends on itself"),
        ('a = semvercmp("x", "1")', 1, "is no semantic version"),
        ('a = format("%d", 1.5)', 1, "needs a whole number"),
        ('a = regex("(", "x")', 1, "invalid regex"),
        ("a = range(1, 1e9)", 1, "more than 1024 numbers"),
    ],
)
def test_a_mistake_has_a_location(text: str, line: int, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        build(text)
    assert reason in caught.value.reason
    location = caught.value.location
    assert location is not None
    assert (location.filename, location.start) == ("docker-bake.hcl", line)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('{"target": {"a": {"tags": ["x",]}}}', 1, "a JSON value is expected"),
        ('{"target":\n {"a": {"tags": ["${x}"]}}}', 2, 'there is no variable "x"'),
        ('{"target": {"a": 1}}', 1, "a JSON object is expected"),
        ('{"a": "x\ny"}', 1, "malformed string"),
        ('{"a": 1} x', 1, "the JSON text should end here"),
    ],
)
def test_a_mistake_in_json_has_a_location(text: str, line: int, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as caught:
        build(text, name="docker-bake.json")
    assert caught.value.location is not None
    assert caught.value.location.start == line


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["a"], 'invalid --set "a"'),
        (["a.tags"], "the value is missing"),
        (["b.tags=x"], 'no target matches "b"'),
        (["a.args=x"], "args needs a name"),
        (["a.labels=x"], "labels needs a name"),
        (["a.thing=x"], 'there is no option "thing"'),
        (["a.pull=maybe"], "neither true nor false"),
        (["a.secret.x=src=y"], 'secret "x" is not declared'),
        (["a.resources.cpus=1"], 'there is no resource "cpus"'),
        (["[.tags=x"], "malformed pattern"),
    ],
)
def test_mistakes_in_overrides(given: Sequence[str], reason: str) -> None:
    with pytest.raises(LaminaError) as caught:
        build('target "a" {}', *given, target="a")
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('target "default" { inherits = ["x"] }', 'there is no target "x"'),
        ('target "default" { contexts = { a = "target:default" } }', "itself as a context"),
        (
            'target "default" { contexts = { a = "target:b" } }\n'
            'target "b" { contexts = { a = "target:default" } }',
            "are contexts of each other",
        ),
        (
            'target "default" {\n  contexts = { a = "target:b" }\n  platforms = ["p/1", "p/2"]\n}\n'
            'target "b" { platforms = ["p/1", "p/3"] }',
            "is built for p/1, p/3",
        ),
    ],
)
def test_targets_that_do_not_fit(text: str, reason: str) -> None:
    with pytest.raises(LaminaError) as caught:
        build(text)
    assert reason in caught.value.reason
