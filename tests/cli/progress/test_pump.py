from __future__ import annotations

import os
import pty
import threading
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import InvalidInput
from lamina.base.events import Event, LogEvent
from lamina.cli.progress.choose import open_display
from lamina.cli.progress.pump import Pump
from tests.cli.progress.progress_script import log, vertex

if TYPE_CHECKING:
    from collections.abc import Sequence


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.finished = 0
        self.left = 0
        self.gate = threading.Event()
        self.gate.set()

    def update(self, events: Sequence[Event], now: float) -> None:
        self.gate.wait()
        self.events += events

    def leave(self) -> None:
        self.left += 1

    def finish(self, now: float) -> None:
        self.finished += 1


def test_events_of_many_threads_all_arrive_in_each_thread_s_order() -> None:
    recorder = Recorder()
    pump = Pump(recorder)

    def report(vertex: str) -> None:
        for number in range(500):
            pump(log(vertex, b"%d" % number, float(number)))

    threads = [threading.Thread(target=report, args=(f"t{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pump.close()
    assert recorder.finished == 1
    assert len(recorder.events) == 8 * 500
    by_vertex: dict[str, list[float]] = {}
    for event in recorder.events:
        assert isinstance(event, LogEvent)
        by_vertex.setdefault(event.vertex, []).append(event.timestamp)
    assert all(times == sorted(times) for times in by_vertex.values())


def test_logs_wait_for_a_slow_output_and_nothing_is_lost() -> None:
    recorder = Recorder()
    recorder.gate.clear()
    pump = Pump(recorder)
    sent = 0
    done = threading.Event()

    def produce() -> None:
        nonlocal sent
        for _ in range(40):
            pump(log("a", bytes(1 << 20), 1.0))
            sent += 1
        done.set()

    thread = threading.Thread(target=produce)
    thread.start()
    assert not done.wait(0.5)
    assert sent < 20
    recorder.gate.set()
    thread.join()
    pump.close()
    assert len(recorder.events) == 40


def test_a_closed_output_does_not_stop_the_build() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    display = open_display("plain", writer, {})
    for number in range(100):
        display(vertex(f"v{number}", "x", 1.0, 2.0))
        display(log(f"v{number}", bytes(100_000), 1.0))
    display.close()
    os.close(writer)


def test_modes_follow_the_descriptor() -> None:
    reader, writer = os.pipe()
    with pytest.raises(InvalidInput, match="needs a terminal"):
        open_display("tty", writer, {})
    for mode, wanted in (
        ("auto", b"#1 x\n#1 CACHED\n"),
        ("rawjson", b'{"vertexes"'),
        ("quiet", b""),
    ):
        display = open_display(mode, writer, {})
        display(vertex("a", "x", 1.0, 2.0, cached=True))
        display.close()
        os.set_blocking(reader, False)
        try:
            assert os.read(reader, 1000).startswith(wanted)
        except BlockingIOError:
            assert not wanted
    os.close(reader)
    os.close(writer)


def test_auto_is_a_live_list_on_a_terminal() -> None:
    controller, terminal = pty.openpty()
    display = open_display("auto", terminal, {"NO_COLOR": "1"})
    display(vertex("a", "RUN x", 1.0, 2.0))
    display.close()
    shown = b""
    while b"FINISHED" not in shown:
        shown += os.read(controller, 10_000)
    assert b"(1/1) FINISHED" in shown
    assert b" => RUN x " in shown
    display = open_display("auto", terminal, {"TERM": "dumb"})
    display(vertex("a", "RUN x", 1.0, 2.0))
    display.close()
    shown = b""
    while b"DONE" not in shown:
        shown += os.read(controller, 10_000)
    assert shown == b"#1 RUN x\r\n#1 DONE 1.0s\r\n"
    os.close(controller)
    os.close(terminal)
