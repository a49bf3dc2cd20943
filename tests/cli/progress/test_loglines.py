from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lamina.cli.progress.loglines import LogLines


@given(st.lists(st.tuples(st.binary(max_size=20), st.booleans(), st.booleans()), max_size=20))
def test_all_bytes_are_kept_in_order(steps: list[tuple[bytes, bool, bool]]) -> None:
    lines = LogLines()
    written = b""
    for data, take, interrupt in steps:
        data = data.replace(b"#", b"x")
        lines.add(data, 0.0)
        if take:
            written += lines.take(b"#")
        if interrupt and lines.end_line():
            written += b"\n#other\n"
    written += lines.take(b"#")
    whole = b"".join(data.replace(b"#", b"x") for data, _, _ in steps)
    prefix = b"#0.000 "
    shown = [line.removeprefix(prefix) for line in written.split(b"\n") if line.startswith(prefix)]
    assert [line for line in whole.split(b"\n") if line] == _without_restarts(shown, whole)


def _without_restarts(shown: list[bytes], whole: bytes) -> list[bytes]:
    """Remove the first printing of lines that were interrupted and printed again."""
    wanted = [line for line in whole.split(b"\n") if line]
    result: list[bytes] = []
    position = 0
    for line in shown:
        if not line:
            continue
        if position < len(wanted) and line == wanted[position]:
            result.append(line)
            position += 1
        elif not (position and line == wanted[position - 1]):
            assert position < len(wanted)
            assert wanted[position].startswith(line)
    return result


def test_a_long_unfinished_line_is_not_kept() -> None:
    lines = LogLines()
    total = 0
    for _ in range(40):
        lines.add(b"." * 10_000, 0.0)
        total += len(lines.take(b"#1 "))
    assert total == 400_000 + len("#1 0.000 ")
    assert sum(map(len, lines.last())) <= 80_000


def test_the_time_stamp_keeps_its_width() -> None:
    lines = LogLines()
    for seconds in (0.391, 12.3456, 123.456, -0.1):
        lines.add(b"x\n", seconds)
    assert lines.take(b"") == b"0.391 x\n12.35 x\n123.5 x\n0.000 x\n"
