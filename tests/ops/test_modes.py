"""Symbolic permission bits. The expected results are those of a real BuildKit."""

from __future__ import annotations

import stat

import pytest

from lamina.base.errors import InvalidInput
from lamina.ops.modes import parse_mode_change


def apply(text: str, mode: int, *, folder: bool = False) -> int:
    change = parse_mode_change(-1, text)
    assert change is not None
    return change.apply((stat.S_IFDIR if folder else stat.S_IFREG) | mode)


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("u+x", 0o644, 0o744),
        ("a=rX", 0o700, 0o555),
        ("a=rX", 0o600, 0o444),
        ("u=rwx,g=rx,o=", 0o000, 0o750),
        ("g=u,o=g", 0o751, 0o777),
        ("go=u-w", 0o640, 0o644),
        ("u=go", 0o751, 0o151),
        # Letters around a copy: each time, `=` replaces the bits.
        ("u=gr", 0o640, 0o440),
        ("u+rg", 0o240, 0o640),
        ("g=o", 0o6751, 0o6711),  # copies do not change the set-id bits
        ("u=u-", 0o6751, 0o6751),
        ("a=g", 0o2775, 0o2777),
        ("u=rx", 0o6751, 0o2551),
        ("-x", 0o6751, 0o6640),
        ("=", 0o7777, 0o1000),  # all bits except the sticky bit
        ("u+s,+t", 0o755, 0o5755),
        ("o+t", 0o644, 0o644),
        ("o+s", 0o644, 0o644),
        ("=+Xs,o+wwX-x", 0o751, 0o6112),  # X depends on the original bits
        ("-rt", 0o1644, 0o644),  # t only sets the sticky bit
        ("=Xtw", 0o644, 0o1644),
    ],
)
def test_letters(text: str, before: int, after: int) -> None:
    assert apply(text, before) == after


def test_folders_may_always_be_entered() -> None:
    assert apply("u+X", 0o600, folder=True) == 0o700
    assert apply("a-X", 0o755, folder=True) == 0o644


def test_octal_modes_and_unset_modes() -> None:
    change = parse_mode_change(0o4755, "")
    assert change is not None
    assert change.apply(stat.S_IFREG | 0o600) == 0o4755
    assert parse_mode_change(-1, "") is None


@pytest.mark.parametrize("text", ["u", "rwx", "a=g,", "u+x,,g+x", ",", "u=7", "u~r", "+q"])
def test_invalid_modes(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_mode_change(-1, text)
