"""The output of advice."""

from __future__ import annotations

from lamina.advise.advice import Kind
from lamina.cli.advise import shortened
from lamina.cli.commands import COMMANDS


def test_all_kinds_can_be_chosen() -> None:
    (flag,) = (flag for flag in COMMANDS["advise"].flags if flag.name == "kind")
    assert set(flag.choices) == set(Kind)


def test_long_instructions_are_shortened() -> None:
    assert shortened("RUN abc", 7) == "RUN abc"
    assert shortened("RUN abcd", 7) == "RUN ab…"
