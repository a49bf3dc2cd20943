from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from lamina.base.events import ProgressGroup, VertexEvent
from lamina.cli.progress.state import Trace, merge_intervals
from tests.cli.progress.progress_script import key, status, vertex


def test_intervals_are_summed_without_overlap() -> None:
    assert merge_intervals({1.0: 3.0, 2.0: 4.0, 6.0: 7.0}) == [(1.0, 4.0), (6.0, 7.0)]
    assert merge_intervals({1.0: None, 2.0: 4.0}) == [(1.0, None)]
    assert merge_intervals({1.0: 3.0, 2.0: None, 9.0: 10.0}) == [(1.0, None)]
    assert merge_intervals({1.0: 9.0, 2.0: 3.0}) == [(1.0, 9.0)]


@given(st.dictionaries(st.integers(0, 50), st.integers(0, 20), max_size=8))
def test_merged_intervals_cover_the_same_moments(spans: dict[int, int]) -> None:
    merged = merge_intervals({float(s): float(s + n) for s, n in spans.items()})
    covered = {m for s, n in spans.items() for m in range(s, s + n)}
    assert sum((stop or 0) - start for start, stop in merged) == len(covered)
    assert all(a[1] is not None and a[1] < b[0] for a, b in itertools.pairwise(merged))


def test_a_vertex_that_runs_twice_shows_the_sum() -> None:
    trace = Trace()
    trace.apply(vertex("a", "x"))
    assert trace.vertices == []
    assert trace.counts() == (0, 1)
    trace.apply(vertex("a", "x", 1.0, 2.0))
    trace.apply(vertex("a", "x", 5.0))
    (only,) = trace.vertices
    assert only.completed is None
    assert only.seconds(7.0) == 3.0
    trace.apply(vertex("a", "x"))  # announced again: no change
    trace.apply(vertex("a", "x", 5.0, 6.0))
    assert only.completed == 6.0
    assert trace.counts() == (1, 1)


def test_a_weak_group_is_hidden_until_a_strong_member_starts() -> None:
    trace = Trace()
    weak = ProgressGroup("g", "group", weak=True)
    trace.apply(VertexEvent(key("a"), "a", started=1.0, completed=2.0, cached=True, group=weak))
    assert trace.vertices == []
    assert trace.counts() == (0, 0)
    strong = ProgressGroup("g", "group")
    trace.apply(VertexEvent(key("b"), "b", started=3.0, completed=4.0, group=strong))
    (group,) = trace.vertices
    assert group.name == "group"
    assert not group.cached
    assert group.intervals == [(1.0, 2.0), (3.0, 4.0)]


def test_events_of_unknown_vertices_are_ignored() -> None:
    trace = Trace()
    assert trace.apply(status("a", "x", 1.0, started=1.0)) is None
    assert trace.vertices == []
