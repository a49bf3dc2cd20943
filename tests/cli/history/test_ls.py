from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lamina.cli.history.ls import show_duration, show_rows
from lamina.cli.tables import table
from lamina.cli.units import show_ago
from lamina.records.rows import RUNNING, RecordRow

NOW = 1_000_000_000.0
AGES = st.one_of(
    st.floats(-5, 7300), st.floats(0, 1e9), st.integers(0, 100).map(lambda n: n * 3600)
)
ROWS = st.lists(
    st.builds(
        lambda ref, age, lasted, status, name: RecordRow(
            ref, NOW - age, NOW - age + lasted, status, "", name
        ),
        st.text("abc", min_size=1, max_size=5),
        AGES,
        st.floats(0, 200),
        st.sampled_from([RUNNING, "completed", "error", "canceled"]),
        st.text(max_size=60),
    ),
    max_size=8,
)


@given(ROWS, st.booleans())
def test_the_table_is_that_of_other_commands(rows: list[RecordRow], whole: bool) -> None:
    cells = [
        (
            row.ref,
            row.name if whole or len(row.name) <= 36 else f"..{row.name[-34:]}",
            row.status.capitalize(),
            show_ago(NOW - row.created),
            show_duration(max(0.0, NOW - row.created)) + "+"
            if row.status == RUNNING
            else show_duration(row.completed - row.created),
        )
        for row in rows
    ]
    header = ("BUILD ID", "NAME", "STATUS", "CREATED AT", "DURATION")
    assert show_rows(rows, NOW, whole=whole) == table(header, cells)
