"""Targets: parameters as build arguments, and calls of each other."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lamina
from lamina.frontend import Target, target
from lamina.frontend.session import Session, in_session
from lamina.frontend.targets import (
    Parameter,
    choose_target,
    find_targets,
    read_value,
    show_value,
)


class Mode(Enum):
    FAST = "fast"
    SMALL = "small"


def called(made: Target, **build_args: str) -> lamina.State:
    """Call a target with build arguments, as the frontend does."""
    attributes = {f"build-arg:{name}": value for name, value in build_args.items()}
    session = Session(None, None, attributes, {})  # type: ignore[arg-type] # nothing is solved
    with in_session(session):
        return made()


def recorded(got: list[Any]) -> Target:
    @target
    def app(
        text: str = "t",
        count: int = 1,
        ratio: float = 0.5,
        debug: bool = False,
        mode: Mode = Mode.FAST,
        level: Literal["a", "b"] = "a",
        names: list[str] = [],  # noqa: B006 - it is not changed
        maybe: int | None = None,
    ) -> lamina.State:
        got[:] = [text, count, ratio, debug, mode, level, names, maybe]
        return lamina.scratch()

    return app


def test_defaults() -> None:
    got: list[Any] = []
    called(recorded(got))
    assert got == ["t", 1, 0.5, False, Mode.FAST, "a", [], None]


def test_build_arguments_have_the_types_of_parameters() -> None:
    got: list[Any] = []
    called(
        recorded(got),
        TEXT="x",
        count="7",
        ratio="2",
        debug="true",
        mode="small",
        level="b",
        names="p,q",
        maybe="3",
    )
    assert got == ["x", 7, 2.0, True, Mode.SMALL, "b", ["p", "q"], 3]


@pytest.mark.parametrize(
    ("build_args", "reason"),
    [
        ({"count": "x"}, '"x" is not an integer'),
        ({"ratio": "x"}, '"x" is not a number'),
        ({"debug": "maybe"}, '"maybe" is not true or false'),
        ({"mode": "x"}, "one of fast, small"),
        ({"level": "x"}, "one of a, b"),
    ],
)
def test_wrong_build_arguments(build_args: dict[str, str], reason: str) -> None:
    with pytest.raises(lamina.InvalidInput, match=reason):
        called(recorded([]), **build_args)


def test_a_required_argument() -> None:
    @target
    def app(version: str) -> lamina.State:
        return lamina.scratch()

    with pytest.raises(lamina.InvalidInput, match="version is required") as caught:
        called(app)
    assert caught.value.location is not None
    assert caught.value.location.filename == __file__


def test_targets_call_each_other() -> None:
    got: list[Any] = []

    @target
    def inner(a: str = "default", b: str = "default") -> lamina.State:
        got.append((a, b))
        return lamina.scratch()

    @target
    def outer() -> lamina.State:
        inner("given")
        return inner()

    called(outer, b="argument")
    assert got == [("given", "argument"), ("default", "argument")]


def test_cycles_are_refused() -> None:
    @target
    def one() -> lamina.State:
        return two()

    @target
    def two() -> lamina.State:
        return one()

    with pytest.raises(lamina.InvalidInput, match="cycle: one → two → one"):
        called(one)


def test_parameters_that_are_no_build_arguments() -> None:
    @target
    def typed(a: dict[str, str]) -> lamina.State:
        return lamina.scratch()

    @target
    def variable(*a: str) -> lamina.State:
        return lamina.scratch()

    for made, reason in ((typed, "has a type that no build"), (variable, r"\*a cannot be")):
        with pytest.raises(lamina.InvalidInput, match=reason):
            _ = made.parameters


def test_a_result_that_is_no_state() -> None:
    @target
    def app() -> lamina.State:
        return 1  # type: ignore[return-value] # wrong

    with pytest.raises(lamina.InvalidInput, match="returned int, not a State"):
        called(app)


def test_choosing() -> None:
    @target(name="first", default=True)
    def one() -> lamina.State:
        return lamina.scratch()

    @target
    def two() -> lamina.State:
        """The second.

        More.
        """
        return lamina.scratch()

    found = find_targets({"one": one, "other_name": one, "two": two, "x": 1})
    assert found == (one, two)
    assert choose_target(found, "", "build.py") is one
    assert choose_target(found, "two", "build.py") is two
    assert two.description == "The second."
    with pytest.raises(lamina.NotFound, match=r"target tow is not in build\.py") as caught:
        choose_target(found, "tow", "build.py")
    assert "two" in caught.value.hint
    with pytest.raises(lamina.InvalidInput, match="no target"):
        choose_target((), "", "build.py")


def test_equal_names_and_several_defaults() -> None:
    def make(default: bool) -> Target:
        @target(name="same", default=default)
        def app() -> lamina.State:
            return lamina.scratch()

        return app

    with pytest.raises(lamina.InvalidInput, match="two targets have the name same"):
        find_targets({"a": make(False), "b": make(False)})
    with pytest.raises(lamina.InvalidInput, match="several targets are the default"):
        choose_target((make(True), make(True)), "", "build.py")


def test_outside_of_a_build() -> None:
    with pytest.raises(lamina.InvalidInput, match="only works while a build file is built"):
        recorded([])()


@given(
    st.one_of(
        st.tuples(st.just(int), st.integers()),
        st.tuples(st.just(bool), st.booleans()),
        st.tuples(st.just(str), st.text()),
        st.tuples(st.just(float), st.floats(allow_nan=False)),
        st.tuples(st.just(list[str]), st.lists(st.text("ab", min_size=1))),
        st.tuples(st.just(Mode), st.sampled_from(Mode)),
    )
)
def test_a_shown_default_is_read_back(case: tuple[Any, Any]) -> None:
    kind, value = case
    assert read_value(Parameter("p", kind, None), show_value(value)) == value
