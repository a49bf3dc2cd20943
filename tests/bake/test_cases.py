"""`lamina bake` prints what `docker buildx bake` prints; `scripts/bake-cases` writes that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lamina.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = sorted((Path(__file__).parent / "cases").iterdir())


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in os.environ:
        if name not in ("PATH", "HOME", "PYTEST_CURRENT_TEST", "PYTHONPATH"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/")
    yield


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_prints_what_buildx_prints(
    case: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(case)
    for line in lines(case / "environment"):
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value)
    arguments = lines(case / "arguments")
    if "--list" not in arguments:
        arguments.insert(0, "--print")
    status = main(["bake", *arguments])
    captured = capsys.readouterr()
    assert captured.err == ""
    assert status == 0
    assert captured.out == (case / "expected").read_text()
