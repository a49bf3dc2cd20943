"""The events for a job that joins a running step."""

from __future__ import annotations

from lamina.base.digest import digest_of
from lamina.base.events import LogEvent, StatusEvent, VertexEvent, WarningEvent
from lamina.solver.event_backlog import EventBacklog

_VERTEX = digest_of(b"vertex")
_KEPT = 1 << 20


def log(data: bytes) -> LogEvent:
    return LogEvent(_VERTEX, 1, data, 0.0)


def told(backlog: EventBacklog) -> bytes:
    return b"".join(event.data for event in backlog.events() if isinstance(event, LogEvent))


def test_events_are_the_vertex_and_the_latest_of_each_status() -> None:
    backlog = EventBacklog()
    running = VertexEvent(_VERTEX, "a step", started=1.0)
    backlog.add(running)
    backlog.add(StatusEvent(_VERTEX, "a", 1.0, 1, 9))
    backlog.add(log(b"said"))
    backlog.add(WarningEvent(_VERTEX, "beware"))
    backlog.add(StatusEvent(_VERTEX, "a", 2.0, 9, 9))
    done = running._replace(completed=3.0)
    backlog.add(done)
    assert list(backlog.events()) == [
        done,
        StatusEvent(_VERTEX, "a", 2.0, 9, 9),
        WarningEvent(_VERTEX, "beware"),
        log(b"said"),
    ]


def test_the_beginning_and_end_of_a_long_output_are_kept() -> None:
    backlog = EventBacklog()
    pieces = [b"%07d\n" % number * 1000 for number in range(1000)]  # 8 MB
    for piece in pieces:
        backlog.add(log(piece))
    whole = b"".join(pieces)
    kept = told(backlog)
    first, _, rest = kept.partition(b"\n[")
    count, _, latest = rest.partition(b" bytes are left out here]\n")
    assert whole.startswith(first)
    assert whole.endswith(latest)
    assert len(first) + int(count) + len(latest) == len(whole)
    assert len(kept) < 2 * _KEPT + 100


def test_a_huge_log_event_is_kept_while_it_is_the_latest() -> None:
    backlog = EventBacklog()
    backlog.add(log(b"a" * 10))
    backlog.add(log(b"b" * (3 << 20)))
    assert told(backlog) == b"a" * 10 + b"b" * (3 << 20)
    backlog.add(log(b"c"))
    assert told(backlog).endswith(b"\n[3145728 bytes are left out here]\nc")
