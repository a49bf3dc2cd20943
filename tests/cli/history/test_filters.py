from __future__ import annotations

import time

import pytest

from lamina.base.errors import InvalidInput
from lamina.cli.history.filters import parse_filters
from lamina.cli.history.ls import show_duration, show_rows
from lamina.records.rows import RecordRow

NOW = time.time()
ROWS = [
    RecordRow("abc1", NOW - 10, NOW - 10, "running", "https://h/app"),
    RecordRow("abc2", NOW - 3600, NOW - 3500, "completed", "https://h/app"),
    RecordRow("xyz3", NOW - 90_000, NOW - 89_995, "error"),
    RecordRow("xyz4", NOW - 90_001, NOW - 89_990, "canceled", "https://h/other"),
]


@pytest.mark.parametrize(
    ("filters", "refs"),
    [
        ([], ["abc1", "abc2", "xyz3", "xyz4"]),
        (["ref=abc"], ["abc1", "abc2"]),
        (["ref!=abc1", "ref=abc"], ["abc2"]),
        (["repository=h/app"], ["abc1", "abc2"]),
        (["status=canceled"], ["xyz4"]),
        (["status!=completed", "startedAt<24h"], ["xyz3", "xyz4"]),
        (["startedAt>24h"], ["abc1", "abc2"]),
        (["duration>=10s"], ["abc2", "xyz4"]),
        (["duration<6s", "completedAt<1h"], ["xyz3"]),
    ],
)
def test_filters(filters: list[str], refs: list[str]) -> None:
    conditions = parse_filters(filters)
    assert [row.ref for row in ROWS if all(met(row) for met in conditions)] == refs


@pytest.mark.parametrize(
    "text", ["", "ref", "ref>1", "name=x", "status=done", "duration=1s", "startedAt>x", "=x"]
)
def test_invalid_filters(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_filters([text])


def test_the_table() -> None:
    long = "x" * 30 + "/dir/Dockerfile"
    rows = [ROWS[0], ROWS[1]._replace(name=long)]
    lines = show_rows(rows, NOW, whole=False).splitlines()
    assert lines[0].split() == ["BUILD", "ID", "NAME", "STATUS", "CREATED", "AT", "DURATION"]
    assert lines[1].split()[:2] == ["abc1", "Running"] and lines[1].endswith("10.0s+")
    assert ".." + long[-34:] in lines[2] and lines[2].endswith("1m 40s")
    assert long in show_rows(rows, NOW, whole=True)
    assert show_duration(65) == "1m  5s"
