"""Parsing booleans."""

from __future__ import annotations

import pytest

from lamina.base.booleans import parse_bool


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "TRUE", "True"])
def test_words_for_true(text: str) -> None:
    assert parse_bool(text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "false", "FALSE", "False"])
def test_words_for_false(text: str) -> None:
    assert parse_bool(text) is False


@pytest.mark.parametrize("text", ["", "yes", "no", "tRUE", "on", " true", "2"])
def test_anything_else_is_neither(text: str) -> None:
    assert parse_bool(text) is None
