from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.base.errors import InvalidInput
from lamina.cli.units import parse_duration, parse_size, show_ago, show_size, show_time


def test_sizes_are_shown_as_buildkit_shows_them() -> None:
    assert show_size(0) == "0B"
    assert show_size(545) == "545B"
    assert show_size(999) == "999B"
    assert show_size(1000) == "1.00kB"
    assert show_size(1_048_576) == "1.05MB"
    assert show_size(2_900_000_000) == "2.90GB"
    assert show_size(-1234) == "-1.23kB"


def test_sizes_are_read_as_docker_reads_them() -> None:
    for text in ("64m", "64M", "64mb", "64MiB", "64 mb", str(64 << 20), f"{64 << 20}b"):
        assert parse_size(text, "shm-size") == 64 << 20
    assert parse_size("1.5k", "x") == 1536
    for bad in ("", "m", "-1", "1x", "1mm", "nan", "inf", "1e400"):
        with pytest.raises(InvalidInput, match="--x: not a size"):
            parse_size(bad, "x")


def test_durations() -> None:
    assert parse_duration("24h", "x") == 86400
    assert parse_duration("1h30m", "x") == 5400
    assert parse_duration("1.5s", "x") == 1.5
    assert parse_duration("300ms", "x") == pytest.approx(0.3)
    assert parse_duration("7d", "x") == 7 * 86400
    assert parse_duration("0", "x") == 0
    for bad in ("", "24", "h", "-5h", "5 h", "5x", "1.2.3s", "h5"):
        with pytest.raises(InvalidInput, match="not a duration"):
            parse_duration(bad, "filter until")


@given(st.text(max_size=12))
def test_no_text_raises_anything_else(text: str) -> None:
    for read in (parse_size, parse_duration):
        with contextlib.suppress(InvalidInput):
            assert read(text, "x") >= 0


def test_ages() -> None:
    assert show_ago(0.2) == "Less than a second ago"
    assert show_ago(-5) == "Less than a second ago"
    assert show_ago(1) == "1 second ago"
    assert show_ago(59) == "59 seconds ago"
    assert show_ago(300) == "5 minutes ago"
    assert show_ago(47 * 3600) == "47 hours ago"
    assert show_ago(10 * 86400) == "10 days ago"
    assert show_ago(800 * 86400) == "2 years ago"


def test_times() -> None:
    assert show_time(0) == "1970-01-01T00:00:00Z"
    assert show_time(0.9999999) == "1970-01-01T00:00:01Z"
    assert show_time(1577934245.123456) == "2020-01-02T03:04:05.123456Z"
