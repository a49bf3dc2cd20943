from __future__ import annotations

from lamina.base.events import Event, ProgressGroup, ReasonEvent, VertexEvent, WarningEvent
from lamina.cli.progress.plain import PlainRenderer
from tests.cli.progress.progress_script import key, log, status, vertex


def render(*batches: tuple[float, list[Event]], end: float = 200.0) -> str:
    written = bytearray()
    renderer = PlainRenderer(written.extend)
    for now, events in batches:
        renderer.update(events, now)
    renderer.finish(end)
    return written.decode()


def test_a_whole_build() -> None:
    context = "[internal] load build context"
    text = render(
        (
            100.3,
            [
                vertex("a", context),
                vertex("a", context, 100.0),
                status("a", "transferring context:", 100.02, 2, 0, 100.0, 100.02),
                vertex("a", context, 100.0, 100.04),
                vertex("b", "[1/2] FROM docker.io/library/golang:1.14", 100.1, 100.1, cached=True),
                vertex("c", "[2/2] RUN go build", 100.2),
            ],
        ),
        (100.7, [log("c", b"gin/bar\ngin/foo\n", 100.591)]),
        (112.0, [log("c", b"late\n", 111.234), vertex("c", "[2/2] RUN go build", 100.2, 108.04)]),
    )
    assert text == (
        "#1 [internal] load build context\n"
        "#1 transferring context: 2B 0.0s done\n"
        "#1 DONE 0.0s\n"
        "\n"
        "#2 [1/2] FROM docker.io/library/golang:1.14\n"
        "#2 CACHED\n"
        "\n"
        "#3 [2/2] RUN go build\n"
        "#3 0.391 gin/bar\n"
        "#3 0.391 gin/foo\n"
        "#3 11.03 late\n"
        "#3 DONE 7.8s\n"
    )


def test_a_failure_shows_the_last_ten_lines_again() -> None:
    data = b"".join(b"line %d\n" % number for number in range(12))
    error = 'process "/bin/sh -c make" did not complete successfully: exit code: 2'
    text = render(
        (1.0, [vertex("a", "[2/2] RUN make", 1.0), log("a", data + b"no end", 1.5)]),
        (2.0, [vertex("a", "[2/2] RUN make", 1.0, 2.0, error=error)]),
    )
    assert text.startswith("#1 [2/2] RUN make\n#1 0.500 line 0\n#1 0.500 line 1\n")
    body, _, report = text.partition("------\n")
    assert body.endswith(f"#1 0.500 no end\n#1 ERROR: {error}\n")
    lines = report.splitlines()
    assert lines[0] == " > [2/2] RUN make:"
    assert lines[1:-1] == [*(f"0.500 line {n}" for n in range(3, 12)), "0.500 no end"]
    assert lines[-1] == "------"


def test_a_failure_with_an_open_transfer_is_shown() -> None:
    text = render(
        (1.0, [vertex("a", "FROM x", 1.0), status("a", "sha256:abc", 1.1, 5, 9, 1.0)]),
        (2.0, [vertex("a", "FROM x", 1.0, 2.0, error="connection refused")]),
    )
    assert text.count("#1 ERROR: connection refused\n") == 1


def test_cancelled_vertices_are_no_errors() -> None:
    text = render((2.0, [vertex("a", "RUN sleep", 1.0, 2.0, error="context canceled")]))
    assert text == "#1 RUN sleep\n#1 CANCELED\n"


def test_transfers_are_printed_at_steps_of_five_percent_or_five_seconds() -> None:
    def at(now: float, current: int, completed: float | None = None) -> tuple[float, list[Event]]:
        return now, [status("a", "sha256:abc", now, current, 3_000_000, 1.0, completed)]

    text = render(
        (1.0, [vertex("a", "FROM x", 1.0)]),
        at(1.2, 1_000_000),
        at(1.3, 1_010_000),
        at(1.4, 1_400_000),
        at(7.0, 1_410_000),
        at(8.0, 3_000_000, 8.0),
        (8.1, [vertex("a", "FROM x", 1.0, 8.1)]),
    )
    assert text.splitlines()[1:] == [
        "#1 sha256:abc 1.00MB / 3.00MB 0.2s",
        "#1 sha256:abc 1.40MB / 3.00MB 0.4s",
        "#1 sha256:abc 1.41MB / 3.00MB 6.0s",
        "#1 sha256:abc 3.00MB / 3.00MB 7.0s done",
        "#1 DONE 7.1s",
    ]


def test_two_busy_vertices_do_not_interleave_line_by_line() -> None:
    text = render(
        (
            1.2,
            [
                vertex("a", "RUN a", 1.0),
                vertex("b", "RUN b", 1.0),
                log("a", b"a1\na2\n", 1.1),
                log("b", b"b1\n", 1.1),
                log("a", b"a3\n", 1.1),
            ],
        ),
        (1.4, [log("b", b"b2\n", 1.3), log("a", b"a4\n", 1.3)]),
        (1.6, [vertex("a", "RUN a", 1.0, 1.6)]),
        (1.8, [vertex("b", "RUN b", 1.0, 1.7)]),
    )
    assert text == (
        "#1 RUN a\n#1 0.100 a1\n#1 0.100 a2\n#1 0.100 a3\n#1 0.300 a4\n#1 DONE 0.6s\n\n"
        "#2 RUN b\n#2 0.100 b1\n#2 0.300 b2\n#2 DONE 0.7s\n"
    )


def test_a_vertex_that_waits_too_long_gets_its_turn() -> None:
    text = render(
        (1.0, [vertex("a", "RUN a", 1.0), log("a", b"a\n" * 50, 1.0)]),
        (1.1, [vertex("b", "RUN b", 1.1), log("b", b"b\n", 1.1)]),
        (12.0, [log("a", b"more\n", 12.0)]),
        (13.0, [vertex("a", "RUN a", 1.0, 13.0), vertex("b", "RUN b", 1.1, 13.0)]),
    )
    assert "#1 11.00 more\n#1 ...\n\n#2 RUN b\n#2 0.000 b\n" in text
    assert text.endswith("#2 DONE 11.9s\n\n#1 RUN a\n#1 DONE 12.0s\n")


def test_an_unfinished_line_is_shown_and_continued() -> None:
    written = bytearray()
    renderer = PlainRenderer(written.extend)
    renderer.update([vertex("a", "RUN a", 1.0), log("a", b"half", 1.0)], 1.0)
    assert written == b"#1 RUN a\n#1 0.000 half"
    renderer.update([log("a", b" whole\nnext", 1.5)], 1.5)
    assert written == b"#1 RUN a\n#1 0.000 half whole\n#1 0.500 next"
    renderer.update([vertex("a", "RUN a", 1.0, 2.0)], 2.0)
    renderer.finish(2.0)
    assert written.endswith(b"#1 0.500 next\n#1 DONE 1.0s\n")


def test_no_byte_of_a_log_is_lost_or_changed() -> None:
    data = bytes(range(256)).replace(b"\n", b"") * 3
    text = bytearray()
    renderer = PlainRenderer(text.extend)
    renderer.update([vertex("a", "RUN a", 1.0), log("a", data + b"\n", 1.0)], 1.0)
    renderer.finish(2.0)
    assert b"#1 0.000 " + data + b"\n" in text


def test_a_group_is_one_vertex() -> None:
    group = ProgressGroup("g", "[auth] and more")
    members: list[Event] = [
        VertexEvent(key("a"), "one", started=1.0, completed=2.0, group=group),
        VertexEvent(key("b"), "two", started=2.0, completed=4.0, cached=True, group=group),
        log("a", b"hello\n", 1.5),
    ]
    text = render((5.0, members))
    assert text == "#1 [auth] and more\n#1 0.500 hello\n#1 DONE 3.0s\n"


def test_warnings() -> None:
    warning = WarningEvent(key("a"), "cache could not be written")
    text = render((1.0, [vertex("a", "export", 1.0), warning]), (2.0, []))
    assert "#1 WARN: cache could not be written\n" in text


def test_a_repeated_event_prints_nothing() -> None:
    done = vertex("a", "FROM x", 1.0, 1.0, cached=True)
    assert render((1.0, [done]), (2.0, [done])) == "#1 FROM x\n#1 CACHED\n"


def test_the_reason_of_a_cache_miss() -> None:
    reason = ReasonEvent(key("a"), "a\x1b changed")
    assert render((1.0, [vertex("a", "RUN a", 1.0), reason]), (2.0, [])) == (
        "#1 RUN a\n#1 not cached: a  changed\n"
    )
    done = vertex("a", "RUN a", 1.0, 2.0)
    assert render((2.0, [vertex("a", "RUN a", 1.0), reason, done])) == (
        "#1 RUN a\n#1 not cached: a  changed\n#1 DONE 1.0s\n"
    )
    assert render((2.0, [done]), (3.0, [reason])) == (
        "#1 RUN a\n#1 DONE 1.0s\n\n#1 RUN a\n#1 not cached: a  changed\n"
    )
