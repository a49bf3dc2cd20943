"""Errors are immutable values."""

from __future__ import annotations

import pytest

from lamina.base.errors import (
    CommandFailed,
    FailedStep,
    IncompleteMaterials,
    LaminaError,
    NotFound,
    SourceDenied,
)
from lamina.base.location import Location

HERE = Location("Dockerfile", 1, 1, "FROM x")
ERRORS = [
    NotFound("x is not there", hint="look elsewhere"),
    CommandFailed("exit", exit_code=3),
    IncompleteMaterials(("context",)),
    SourceDenied("denied", ("because",)),
]


@pytest.mark.parametrize("field", ["reason", "hint", "location", "during", "step", "frontends"])
@pytest.mark.parametrize("error", ERRORS)
def test_they_do_not_change(error: LaminaError, field: str) -> None:
    with pytest.raises(AttributeError, match="with_context"):
        setattr(error, field, "else")


@pytest.mark.parametrize("error", ERRORS)
def test_added_context_makes_a_copy(error: LaminaError) -> None:
    before = dict(vars(error))
    step = FailedStep("sha256:1")
    other = error.with_context(step=step, reason="else", hint="do this").at(HERE)
    assert type(other) is type(error)
    assert (str(other), other.hint, other.step, other.location) == ("else", "do this", step, HERE)
    kept = {"exit_code", "folders", "messages"} & before.keys()
    assert {name: vars(other)[name] for name in kept} == {name: before[name] for name in kept}
    assert vars(error) == before
    assert other.at(Location("other", 2, 2)) is other


def test_a_copy_has_the_cause_and_a_traceback_of_its_own() -> None:
    error = NotFound("x")
    error.__cause__ = cause = OSError(2, "no such file")
    with pytest.raises(NotFound):
        raise error
    copied = error.again()
    before = error.__traceback__
    with pytest.raises(NotFound):
        raise copied
    assert copied.__cause__ is cause
    assert error.__traceback__ is before
