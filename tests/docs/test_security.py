"""The page on security names an existing test or campaign for each of its promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.campaigns.main import NAMES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
PROMISES = re.findall(r"^### (.*)$", TEXT, re.MULTILINE)
ROWS = {
    cells[0]: cells[1:]
    for line in re.findall(r"^\| ([A-Z].*) \|$", TEXT, re.MULTILINE)
    if len(cells := [cell.strip() for cell in line.split("|")]) == 3
}


def test_every_promise_has_its_row() -> None:
    assert list(ROWS) == PROMISES


@pytest.mark.parametrize("promise", PROMISES)
def test_the_tests_of_each_promise_exist(promise: str) -> None:
    tests, campaigns = (re.findall(r"`([^`]+)`", cell) for cell in ROWS[promise])
    assert tests or campaigns
    for path in tests:
        assert (ROOT / path).is_file(), path
    assert set(campaigns) <= set(NAMES)
