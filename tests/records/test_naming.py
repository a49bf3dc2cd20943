from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.api.history import BuildHistoryRecord
from lamina.base.errors import InvalidInput, NotFound
from lamina.records.naming import find_record, find_steps, in_order
from lamina.records.rows import RecordRow
from lamina.records.steps import Step
from lamina.records.table import row_of

ROWS = [RecordRow(ref, 9.0, 10.0, "completed") for ref in ("abc", "abd", "xyz", "ab")]
STEPS = in_order(
    (
        Step("d1", "RUN never"),
        Step("d2", "RUN late", started=2.0),
        Step("d3", "COPY early", started=1.0),
    )
)


@pytest.mark.parametrize(
    ("name", "ref"),
    [
        ("", "abc"),
        ("^", "abc"),
        ("^0", "abc"),
        ("^1", "abd"),
        ("^3", "ab"),
        ("x", "xyz"),
        ("ab", "ab"),
        ("abd", "abd"),
    ],
)
def test_names_of_records(name: str, ref: str) -> None:
    assert find_record(ROWS, name).ref == ref


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("^4", NotFound, "no build ^4: 4 are recorded"),
        ("^x", InvalidInput, 'invalid name of a record "^x"'),
        ("^-1", InvalidInput, 'invalid name of a record "^-1"'),
        ("q", NotFound, 'no record of a build "q"'),
        ("a", InvalidInput, "the IDs of 3 builds begin with"),
    ],
)
def test_names_that_mean_no_record(name: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        find_record(ROWS, name)
    assert text in str(caught.value)


def test_without_records() -> None:
    with pytest.raises(NotFound, match="no build is recorded"):
        find_record([], "^")


@given(st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, unique=True), st.data())
def test_a_name_means_the_record_that_it_is_the_start_of(
    refs: list[str], data: st.DataObject
) -> None:
    rows = [RecordRow(ref, 0.0, 0.0, "completed") for ref in refs]
    ref = data.draw(st.sampled_from(refs))
    name = ref[: data.draw(st.integers(1, len(ref)))]
    matching = [other for other in refs if other.startswith(name)]
    if name in refs or len(matching) == 1:
        assert find_record(rows, name).ref == (name if name in refs else matching[0])
    else:
        with pytest.raises(InvalidInput):
            find_record(rows, name)


def test_steps_by_number_and_by_text() -> None:
    assert [step.digest for step in STEPS] == ["d3", "d2", "d1"]
    assert find_steps(STEPS, "2") == find_steps(STEPS, "#2") == ((2, STEPS[1]),)
    assert [number for number, _ in find_steps(STEPS, "RUN")] == [2, 3]
    for name in ("0", "4", "make"):
        with pytest.raises(NotFound):
            find_steps(STEPS, name)


def test_rows_of_records_can_be_printed() -> None:
    row = row_of(BuildHistoryRecord("a", context_path="/src/caf\udce9"))
    assert (row.name, row.status) == ("caf\\xe9", "running")
    address = (("context", "https://user:secret@h.example/app.git"),)
    row = row_of(BuildHistoryRecord("a", frontend_attrs=address))
    assert "secret" not in row.name + row.repository
