"""Lists of platforms in the table of builders. The expected texts are those of buildx."""

from __future__ import annotations

import pytest

from lamina.base.platform import parse_platform
from lamina.cli.builders.platforms import marked_platforms, shortened


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/amd64* linux/amd64/v2 linux/386", "linux/amd64* (+2), linux/386"),
        (
            "linux/riscv64 linux/arm/v7 linux/arm/v6 linux/386 linux/amd64 linux/s390x",
            "linux/amd64, linux/arm (+2), linux/s390x, linux/riscv64, (1 more)",
        ),
    ],
)
def test_shortened(names: str, expected: str) -> None:
    assert shortened(names.split()) == expected


def test_marked() -> None:
    one, two = parse_platform("linux/arm64"), parse_platform("linux/amd64")
    assert marked_platforms([one], [two, one]) == ["linux/arm64*", "linux/amd64"]
