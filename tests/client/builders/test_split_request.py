"""Which node builds which platform."""

from __future__ import annotations

import pytest

from lamina.base.platform import parse_platform
from lamina.client.builders.split_request import assign


@pytest.mark.parametrize(
    ("wanted", "fixed", "supported", "expected"),
    [
        ("linux/amd64 linux/arm64", ["", ""], ["linux/amd64", "linux/arm64"], {0: 1, 1: 1}),
        ("linux/arm64", ["", "linux/arm64"], ["linux/amd64 linux/arm64", "linux/amd64"], {1: 1}),
        ("linux/amd64", ["", ""], ["linux/amd64", "linux/amd64"], {0: 1}),
        ("linux/arm/v6", ["", ""], ["linux/amd64", "linux/arm/v7"], {1: 1}),
        ("linux/riscv64", ["", ""], ["linux/amd64", "linux/arm64"], {0: 1}),
        ("linux/arm/v7 linux/arm/v6", ["", "linux/arm/v7"], ["linux/amd64", ""], {0: 1, 1: 1}),
    ],
)
def test_platforms_go_to_nodes(
    wanted: str, fixed: list[str], supported: list[str], expected: dict[int, int]
) -> None:
    found = assign(
        wanted.split(),
        [[parse_platform(p) for p in text.split()] for text in fixed],
        [[parse_platform(p) for p in text.split()] for text in supported],
    )
    assert {index: len(names) for index, names in found.items()} == expected
