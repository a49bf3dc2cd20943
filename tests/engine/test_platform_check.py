"""Warnings about results for other platforms than the requested ones."""

from __future__ import annotations

from typing import NoReturn

import pytest

from lamina.base.platform import host_platform, parse_platform
from lamina.engine.build_result import BuildResult, PlatformResult, Solvable
from lamina.engine.frontends.platform_check import check_platforms, platform_warnings
from lamina.solver.contract import Graph


def unsolved(*_: object) -> NoReturn:
    pytest.fail("nothing is to be solved")


SOLVABLE = Solvable(None, Graph((), (0, 0)), unsolved)

EMPTY = Solvable(None, None, unsolved)


def result(*platforms: str, several: bool | None = None) -> BuildResult:
    parts = tuple(PlatformResult(parse_platform(text), SOLVABLE) for text in platforms)
    return BuildResult(parts, len(parts) > 1 if several is None else several)


@pytest.mark.parametrize(
    ("requested", "made"),
    [
        ("linux/arm64", result("linux/arm64/v8")),
        ("linux/x86_64", result("linux/amd64", several=True)),
        ("linux/amd64,linux/arm64", result("linux/arm64", "linux/amd64")),
        ("windows/amd64", result("windows(10.0.1)/amd64")),
        ("linux/arm64", BuildResult(())),
        ("linux/arm64,linux/amd64", BuildResult((PlatformResult(host_platform(), EMPTY),))),
        (None, result(str(host_platform()))),
    ],
)
def test_results_of_the_requested_platforms(requested: str | None, made: BuildResult) -> None:
    assert platform_warnings(requested, made) == []


@pytest.mark.parametrize(
    ("requested", "made", "warning"),
    [
        (
            "linux/amd64,linux/arm64",
            result("linux/amd64"),
            "Multiple platforms requested but result is not multi-platform",
        ),
        (
            "linux/arm64",
            result("linux/amd64"),
            'Requested platform "linux/arm64" does not match result platform "linux/amd64"',
        ),
        (
            "windows(10.0.2)/amd64",
            result("windows(10.0.1)/amd64"),
            'Requested platform "windows(10.0.2)/amd64" does not match result platform '
            '"windows(10.0.1)/amd64"',
        ),
        (
            "linux/amd64,linux/arm64",
            result("linux/amd64", "linux/s390x"),
            "Requested platforms linux/amd64,linux/arm64 do not match result platforms "
            "linux/amd64,linux/s390x",
        ),
        (
            "linux/amd64,linux/x86_64",
            result("linux/amd64"),
            'Duplicate platform result requested "linux/x86_64"',
        ),
        (
            "li&nux/amd64",
            result("linux/amd64"),
            'Invalid platform result requested "li&nux/amd64": "li&nux" is an invalid OS '
            'component of "li&nux/amd64"',
        ),
    ],
)
def test_results_of_other_platforms(requested: str, made: BuildResult, warning: str) -> None:
    assert platform_warnings(requested, made) == [warning]


def test_matching_platforms_cause_no_warning() -> None:
    check_platforms("linux/arm64", result("linux/arm64"), lambda event: pytest.fail(f"{event}"))
