"""Compose files: interpolation, environment files, mistakes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.bake.compose.dotenv import parse_environment
from lamina.bake.compose.interpolate import expand
from lamina.bake.compose.project import is_compose
from lamina.bake.hcl.syntax import Source
from lamina.bake.reading import read_definition
from lamina.base.errors import InvalidInput, LaminaError

ENVIRONMENT = {"A": "1", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A-${A}", "1-1"),
        ("$$A", "$A"),
        ("${B:-x}${EMPTY:-y}${EMPTY-z}", "xy"),
        ("${A:+set}${EMPTY:+set}${EMPTY+there}", "setthere"),
        ("${B:-${C:-${A}}}!", "1!"),
        ("${A:?needed}", "1"),
        ("$B", ""),
        ("$(command $A) $ 1", "$(command 1) $ 1"),
    ],
)
def test_interpolation(text: str, expected: str) -> None:
    assert expand(text, ENVIRONMENT) == expected


@pytest.mark.parametrize("text", ["${", "${}", "${A!x}", "${1}", "${B:?it is needed}"])
def test_mistakes_in_variables(text: str) -> None:
    with pytest.raises(InvalidInput):
        expand(text, ENVIRONMENT)


def test_environment_files() -> None:
    text = "\n".join(
        (
            "# comment",
            "PLAIN=a b # comment",
            "export EXPORTED=x#y",
            "SINGLE='$A \\n'",
            'DOUBLE="$A \\"q\\" \\$A\\n"',
            "COLON: value",
            "EMPTY=",
            "REUSED=${PLAIN}!",
            "A",
            "UNKNOWN",
        )
    )
    assert parse_environment(text, ENVIRONMENT) == {
        "PLAIN": "a b",
        "EXPORTED": "x#y",
        "SINGLE": "$A \\n",
        "DOUBLE": '1 "q" $A\n',
        "COLON": "value",
        "EMPTY": "",
        "REUSED": "a b!",
        "A": "1",
    }
    with pytest.raises(InvalidInput, match="line 2"):
        parse_environment("A=1\n-x\n", {})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("services: [", "malformed YAML"),
        ("- a", "a Compose file is a mapping"),
        ("name: x", "defines no services"),
        ("services: [a]", "are mappings"),
        ("services: { a: {} }", "neither an image nor a build"),
        ("services: { a: { build: { contxt: . } } }", "has no option contxt"),
        ("services: { a: { build: [1] } }", "services.a.build is"),
        ("services: { a: { build: { secrets: [x] } } }", '"x" is not defined'),
        ("services: { a: { build: { no_cache: often } } }", "is true or false"),
        ("services: { a: { build: { tags: x } } }", "is a list"),
        ("services: { a: { build: { ulimits: true } } }", "ulimits is a mapping"),
        ("services: { a: { build: { x-bake: { contexts: [x] } } } }", "contexts is a mapping"),
        (
            "secrets: { s: 1 }\nservices: { a: { build: { secrets: [s] } } }",
            "secrets.s is a mapping",
        ),
        ("services: { a: { extends: b, build: . } }", 'extends "b"'),
        ("services: { a: { extends: a } }", "extends itself"),
        ("services: { a b: { build: . } }", 'invalid name "a b"'),
        ("include: [x.yaml]", "include is not supported"),
        ("services: { a: { build: { x-bake: { output: 'dest=x,a=b' } } } }", "the type is missing"),
        ('services: { a: { image: "${A:?missing}" } }', "the variable A is required"),
    ],
)
def test_mistakes(text: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A", raising=False)
    with pytest.raises(LaminaError) as caught:
        read_definition([Source("compose.yaml", text)], {}, {})
    assert reason in caught.value.reason


def test_yes_is_no_boolean() -> None:
    text = "services: { a: { build: { args: { A: yes, B: 0x10, C: 1:30, D: true } } } }"
    (target,) = read_definition([Source("compose.yaml", text)], {}, {}).targets
    assert target.args == (("A", "yes"), ("B", "16"), ("C", "1:30"), ("D", "true"))


def test_what_is_a_compose_file() -> None:
    assert is_compose(Source("x", "services: { a: { image: b } }"), {})
    assert not is_compose(Source("x", 'target "a" {}'), {})
    assert not is_compose(Source("x", '{"target": {}}'), {})


KEYS = st.sampled_from(
    (
        *("build", "image", "context", "args", "labels", "secrets", "ssh", "ulimits", "source"),
        *("extra_hosts", "x-bake", "tags", "output", "shm_size", "env_file", "environment", "path"),
        *("cache_from", "additional_contexts", "platforms", "extends", "file", "service", "a"),
    )
)
SCALARS = (
    st.none() | st.booleans() | st.integers(-1, 9) | st.sampled_from(("", "a", "a=b", "$", "."))
)
TREES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, TREES, max_size=3), TREES, TREES)
def test_any_file_is_read_or_refused(services: dict[str, Any], build: Any, secrets: Any) -> None:
    services = {**services, "a": {"build": build, "image": "x"}}
    text = json.dumps({"services": services, "secrets": secrets})
    try:
        read_definition([Source("compose.yaml", text)], {}, {})
    except LaminaError as error:
        assert error.reason
