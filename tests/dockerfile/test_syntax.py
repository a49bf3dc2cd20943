"""`# syntax=` in all valid positions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.dockerfile.syntax import find_syntax


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# syntax=docker/dockerfile:1\nFROM x", "docker/dockerfile:1"),
        ("#syntax = a/b --opt \r\n", "a/b --opt"),
        ("#!/usr/bin/env x\n# escape=`\n# SYNTAX=img\n", "img"),
        ("// syntax=img\npackage x", "img"),
        ('{"name": "x", "syntax": "img"}', "img"),
        ("\ufeff# syntax=img\n", "img"),
        ("# a comment\n# syntax=img\n", ""),
        ("FROM x\n# syntax=img\n", ""),
        ("\n# syntax=img\n", ""),
        ('{"syntax": 3}', ""),
        ("{", ""),
        ("", ""),
    ],
)
def test_find_syntax(text: str, found: str) -> None:
    assert find_syntax(text.encode()) == found


@given(st.binary(max_size=200))
def test_any_bytes_are_searched_for_a_syntax_line(data: bytes) -> None:
    assert "\n" not in find_syntax(b"# syntax=a\n" + data) == "a" or data
    assert isinstance(find_syntax(data), str)
