from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.api.progress import SCHEMA, StatusResponse
from lamina.base.digest import digest_of
from lamina.base.errors import Cancelled, Corrupt
from lamina.base.events import LogEvent, ProgressGroup, StatusEvent, VertexEvent, WarningEvent
from lamina.base.location import Location
from lamina.records.progress_log import ProgressLog, join_frames, replay, responses
from lamina.system.cancel import Cancellation
from lamina.wire.protobuf import decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lamina.base.events import Event

STEP = digest_of(b"step")
EVENTS: list[Event] = [
    VertexEvent(STEP, "RUN x", (STEP,), 1.5, group=ProgressGroup("g", "group", True)),
    StatusEvent(STEP, "pull", 2.25, 1, 2, 1.0, 2.0, "name"),
    LogEvent(STEP, 2, b"hello\xff", 3.0),
    WarningEvent(STEP, "short", ("a", "b"), "url", Location("Dockerfile", 2, 3, "x\ny\nz"), 2),
    VertexEvent(STEP, "RUN x", (), 1.5, 4.0, True, "failed"),
]


def joined(messages: Iterable[bytes]) -> StatusResponse:
    found: StatusResponse = decode(b"".join(messages), StatusResponse, SCHEMA)
    return found


def test_every_kind_of_event(tmp_path: Path) -> None:
    log = ProgressLog(str(tmp_path / "log"))
    for event in EVENTS:
        log(event)
    written = log.finish()
    found = joined(log.read(Cancellation()))
    first, last = found.vertexes
    assert (first.digest, first.inputs, first.name, first.completed) == (
        STEP,
        (STEP,),
        "RUN x",
        None,
    )
    assert first.progress_group is not None
    assert first.progress_group == ("g", "group", True)
    assert last.completed is not None
    assert (last.cached, last.error, last.completed.nanoseconds) == (True, "failed", 4 * 10**9)
    (part,) = found.statuses
    assert (part.id, part.vertex, part.name, part.current, part.total) == (
        "pull",
        STEP,
        "name",
        1,
        2,
    )
    assert part.timestamp is not None
    assert part.timestamp.nanoseconds == 2_250_000_000
    (line,) = found.logs
    assert (line.vertex, line.stream, line.msg) == (STEP, 2, b"hello\xff")
    (warning,) = found.warnings
    assert (warning.short, warning.detail, warning.url, warning.level) == (
        b"short",
        (b"a", b"b"),
        "url",
        2,
    )
    assert warning.info is not None
    assert (warning.info.data, warning.info.language) == (b"x\ny\nz", "Dockerfile")
    assert warning.ranges[0] == ((2, 0), (3, 0))
    assert log.steps == (1, 1, 1, 1)
    data = (tmp_path / "log").read_bytes()
    assert (len(data), digest_of(data)) == (written.size, written.digest)
    assert joined(replay(written.path)) == found
    log.close()
    assert not os.path.exists(written.path)


def test_late_readers_get_everything_and_slow_readers_block_nobody(
    tmp_path: Path,
) -> None:
    log = ProgressLog(str(tmp_path / "log"))
    slow = log.read(Cancellation())
    log(LogEvent(STEP, 1, b"0", 0.0))
    assert joined([next(slow)]).logs[0].msg == b"0"
    heard: list[bytes] = []
    fast = threading.Thread(target=lambda: heard.extend(log.read(Cancellation())))
    fast.start()
    for number in range(1, 3000):
        log(LogEvent(STEP, 1, b"%d" % number, 0.0))
    late = log.read(Cancellation())
    log.finish()
    log.close()
    fast.join(10)
    expected = [b"%d" % number for number in range(3000)]
    assert [line.msg for line in joined(heard).logs] == expected
    assert [line.msg for line in joined(late).logs] == expected
    assert [line.msg for line in joined(slow).logs] == expected[1:]
    assert list(log.read(Cancellation())) == []


def test_a_reader_that_is_cancelled_stops(tmp_path: Path) -> None:
    log = ProgressLog(str(tmp_path / "log"))
    cancel = Cancellation()
    threading.Timer(0.05, cancel.cancel).start()
    with pytest.raises(Cancelled):
        list(log.read(cancel))
    log.close()


def test_no_message_is_too_large(tmp_path: Path) -> None:
    log = ProgressLog(str(tmp_path / "log"))
    log(LogEvent(STEP, 1, b"x" * (5 << 20), 0.0))
    for _ in range(60):
        log(LogEvent(STEP, 1, b"y" * 60_000, 0.0))
    log.finish()
    messages = list(log.read(Cancellation()))
    log.close()
    assert max(map(len, messages)) < (2 << 20)
    assert sum(len(line.msg) for line in joined(messages).logs) == (5 << 20) + 60 * 60_000


def test_a_full_disk_loses_lines_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = ProgressLog(str(tmp_path / "log"))
    log(LogEvent(STEP, 1, b"kept", 0.0))
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:5], at))
    log(LogEvent(STEP, 1, b"lost", 0.0))
    monkeypatch.setattr(os, "pwrite", real)
    log(LogEvent(STEP, 1, b"kept too", 0.0))
    written = log.finish()
    data = (tmp_path / "log").read_bytes()
    assert (digest_of(data), len(data)) == (written.digest, written.size)
    assert [x.msg for x in joined(log.read(Cancellation())).logs] == [b"kept", b"kept too"]
    log.close()


def test_a_log_that_was_cut_off(tmp_path: Path) -> None:
    log = ProgressLog(str(tmp_path / "log"))
    for event in EVENTS:
        log(event)
    log.finish()
    data = (tmp_path / "log").read_bytes()
    (tmp_path / "cut").write_bytes(data[:-3])
    with pytest.raises(Corrupt):
        list(replay(str(tmp_path / "cut")))
    log.close()


@settings(max_examples=30)
@given(st.lists(st.binary(min_size=1, max_size=200), max_size=40), st.integers(1, 50))
def test_batches_hold_what_was_logged_however_it_is_read(lines: list[bytes], step: int) -> None:
    whole = b""
    for line in lines:
        for message in responses(LogEvent(STEP, 1, line, 0.0)):
            encoded = encode(message, SCHEMA)
            whole += len(encoded).to_bytes(4, "little") + encoded
    found = joined(join_frames(lambda at: whole[at : at + step]))
    assert [line.msg for line in found.logs] == lines
