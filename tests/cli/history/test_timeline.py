"""The timeline in block characters."""

from __future__ import annotations

from lamina.cli.history.timeline import draw_timeline
from lamina.cli.progress.text import width
from lamina.records.steps import Step

STEPS = (
    Step("a", "FROM x", (), 0.0, 0.0, True),
    Step("b", "RUN one", ("a",), 0.0, 2.0),
    Step("c", "RUN two", ("a",), 1.0, 4.0),
    Step("d", "RUN three", ("b", "c"), 6.0, 8.0, False, "exit code: 1"),
    Step("e", "RUN four", ("d",)),
)


def test_bars_waiting_and_marks() -> None:
    assert draw_timeline(STEPS, 60, 9.0) == [
        "↯  1 FROM x            ▏                              cached",
        "✓  2 RUN one           ███████▎                         2.0s",
        "✓  3 RUN two           ░░░███████████▌                  3.0s",
        "✗  4 RUN three                       ░░░░░░░████████    2.0s",
        "                       0s                       8.0s",
    ]


def test_lines_have_the_width_of_the_terminal() -> None:
    for columns in (40, 41, 80, 200):
        lines = draw_timeline(STEPS, columns, 9.0)
        assert [width(line) for line in lines[:-1]] == [columns] * 4
        assert "░" in lines[3]
        assert lines[0].endswith("cached")


def test_names_cannot_move_the_cursor() -> None:
    hostile = Step("a", "RUN \x1b[2J\n宽" + "x" * 300, (), 0.0, 1.0)
    line, _ = draw_timeline([hostile], 60, 1.0)
    assert "\x1b" not in line
    assert width(line) == 60


def test_a_running_step_ends_now() -> None:
    running = Step("a", "RUN x", (), 10.0)
    line, scale = draw_timeline([running], 60, 15.0)
    assert line.startswith("…")
    assert line.endswith("5.0s")
    assert scale.endswith("5.0s")


def test_nothing_has_started() -> None:
    assert draw_timeline([Step("a", "RUN x")], 60, 1.0) == ["No step has started."]
