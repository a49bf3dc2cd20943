"""Lines of a step's log, however its output was split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.ui.step_log import CUT, LogSpool, StepLog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[LogSpool]:
    spool = LogSpool(str(tmp_path))
    yield spool
    spool.close()


@given(
    st.lists(st.text("ab\n", max_size=12), max_size=8),
    st.integers(0, 12),
    st.integers(0, 8),
)
def test_any_page_of_any_pieces(pieces: list[str], first: int, count: int) -> None:
    spool = LogSpool("/tmp")
    try:
        log = StepLog(spool)
        for number, piece in enumerate(pieces):
            log.add(piece.encode(), float(number), 1)
        text = "".join(pieces)
        lines = text.split("\n")
        if lines[-1] == "":
            lines.pop()
        assert log.lines == len(lines)
        page = log.page(first, count)
        assert [line.text for line in page] == lines[first : first + count]
        assert [line.number for line in page] == list(range(len(lines)))[first : first + count]
        assert log.find("ab", 99) == [n for n, line in enumerate(lines) if "ab" in line]
    finally:
        spool.close()


def test_a_line_has_the_time_of_its_first_piece(spool: LogSpool) -> None:
    log = StepLog(spool)
    other = StepLog(spool)
    log.add(b"one\nt", 1.0, 1)
    other.add(b"another step\n", 1.5, 1)
    log.add(b"wo\n", 2.0, 2)
    log.add(b"three\n", 3.0, 2)
    assert [(line.text, line.time, line.stream) for line in log.page(0, 9)] == [
        ("one", 1.0, 1),
        ("two", 1.0, 1),
        ("three", 3.0, 2),
    ]
    assert b"".join(log.content()) == b"one\ntwo\nthree\n"


def test_a_long_line_is_cut(spool: LogSpool) -> None:
    log = StepLog(spool)
    for _ in range(100):
        log.add(b"x" * 1_000_000, 1.0, 1)
    log.add(b"\nend\n", 2.0, 1)
    line, *_ = log.page(0, 2)
    assert line.text.endswith(CUT)
    assert len(line.text) < 20_000
    assert [line.text for line in log.page(1, 2)] == ["end"]


def test_bytes_that_are_not_utf8(spool: LogSpool) -> None:
    log = StepLog(spool)
    log.add(b"\xff\xfe\x00\x1b[31m\r\n", 1.0, 7)
    assert log.page(0, 1)[0].text == "\ufffd\ufffd\x00\x1b[31m"


def test_a_search_finds_capitals_that_are_not_ascii(spool: LogSpool) -> None:
    log = StepLog(spool)
    log.add("État\nplain\nETAT\n".encode(), 1.0, 1)
    assert log.find("État", 9) == [0]
    assert log.find("etat", 9) == [2]
