from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamina.base.events import ReasonEvent
from lamina.cli.progress.colors import Colors, choose_colors
from lamina.cli.progress.text import LogTail, clip, width
from lamina.cli.progress.tty import TtyRenderer
from tests.cli.progress.progress_script import key, log, status, vertex

if TYPE_CHECKING:
    from lamina.base.events import Event

NO_COLORS = Colors("", "", "", "", "")


class Terminal:
    """A minimal terminal: cursor up, carriage return, erasing, wrapping, no scrolling."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.lines: list[str] = [""]
        self.row = 0
        self.hidden = False

    def write(self, data: bytes) -> None:
        for part in re.findall(r"\x1b\[[?\d;]*[a-zA-Z]|[^\x1b]", data.decode()):
            self._put(part)

    def _put(self, part: str) -> None:
        if part == "\n":
            self.row += 1
            self.lines += [""] * (self.row + 1 - len(self.lines))
            self._column = 0
        elif part == "\r":
            self._column = 0
        elif part.endswith("A") and part[0] == "\x1b":
            assert int(part[2:-1]) <= self.row, "the cursor left the list"
            self.row -= int(part[2:-1])
        elif part == "\x1b[K":
            self.lines[self.row] = self.lines[self.row][: self._column]
        elif part == "\x1b[J":
            self.lines[self.row :] = [""]
        elif part in ("\x1b[?25l", "\x1b[?25h"):
            self.hidden = part.endswith("l")
        elif part[0] != "\x1b":
            line = self.lines[self.row].ljust(self._column)
            self.lines[self.row] = line[: self._column] + part + line[self._column + 1 :]
            self._column += 1
            assert width(self.lines[self.row]) <= self.columns

    _column = 0

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines).rstrip()


def draw(
    terminal: Terminal, *batches: tuple[float, list[Event]], lines: int = 24, end: float | None
) -> TtyRenderer:
    renderer = TtyRenderer(terminal.write, lambda: (terminal.columns, lines), NO_COLORS)
    for now, events in batches:
        renderer.update(events, now)
        assert not terminal.hidden
    if end is not None:
        renderer.finish(end)
    return renderer


STEPS: list[Event] = [
    vertex("a", "[internal] load build definition from Dockerfile", 100.0, 100.0),
    status("a", "transferring dockerfile:", 100.0, 545, 0, 100.0, 100.0),
    vertex("b", "[2/3] RUN apk add bash", 100.0, 100.0, cached=True),
    vertex("c", "[3/3] RUN go build", 100.0),
    log("c", b"one\ntwo\r", 100.1),
]


def test_last_log_lines_are_shown_only_while_a_step_runs() -> None:
    terminal = Terminal(60)
    renderer = draw(terminal, (100.4, STEPS), end=None)
    assert terminal.text() == (
        "[+] Building 0.4s (2/3)\n"
        " => [internal] load build definition from Dockerfile   0.0s\n"
        " => => transferring dockerfile: 545B                   0.0s\n"
        " => CACHED [2/3] RUN apk add bash                      0.0s\n"
        " => [3/3] RUN go build                                 0.4s\n"
        " => => # one\n"
        " => => # two"
    )
    renderer.update([vertex("c", "[3/3] RUN go build", 100.0, 107.84)], 107.9)
    renderer.finish(107.9)
    assert terminal.text() == (
        "[+] Building 7.9s (3/3) FINISHED\n"
        " => [internal] load build definition from Dockerfile   0.0s\n"
        " => => transferring dockerfile: 545B                   0.0s\n"
        " => CACHED [2/3] RUN apk add bash                      0.0s\n"
        " => [3/3] RUN go build                                 7.8s"
    )


def test_a_failure_is_followed_by_its_whole_log() -> None:
    terminal = Terminal(60)
    data = b"".join(b"line %d\n" % number for number in range(100))
    failed = vertex("a", "RUN make", 1.0, 2.0, error="exit code: 2")
    draw(terminal, (1.0, [vertex("a", "RUN make", 1.0), log("a", data, 1.5), failed]), end=2.0)
    lines = terminal.text().splitlines()
    assert lines[1].startswith(" => ERROR RUN make ")
    assert lines[2:4] == ["------", " > RUN make:"]
    assert lines[4:-1] == [f"line {number}" for number in range(100)]
    assert lines[-1] == "------"


def test_a_log_of_any_length_is_shown_whole() -> None:
    written = bytearray()
    renderer = TtyRenderer(written.extend, lambda: (80, 24), NO_COLORS)
    renderer.update([vertex("a", "RUN make", 1.0)], 1.0)
    for number in range(2000):
        renderer.update([log("a", b"%06d" % number * 60 + b"\n", 1.0)], 1.0)
    renderer.update([vertex("a", "RUN make", 1.0, 2.0, error="exit code: 2")], 2.0)
    renderer.finish(2.0)
    report = bytes(written).partition(b"------\n > RUN make:\n")[2]
    assert report == b"".join(b"%06d" % n * 60 + b"\n" for n in range(2000)) + b"------\n"


def test_more_steps_than_lines_keep_the_running_ones() -> None:
    terminal = Terminal(60)
    events: list[Event] = [vertex("first", "running", 1.0)]
    events += [vertex(f"v{n}", f"step {n}", 1.0, 1.0) for n in range(30)]
    draw(terminal, (2.0, events), lines=10, end=None)
    lines = terminal.text().splitlines()
    assert len(lines) <= 9
    assert lines[1].startswith(" => running")
    assert lines[-1].startswith(" => step 29")


def test_everything_is_listed_at_the_end() -> None:
    terminal = Terminal(60)
    events: list[Event] = [vertex(f"v{n}", f"step {n}", 1.0, 1.0) for n in range(30)]
    draw(terminal, (2.0, events), lines=10, end=3.0)
    assert len(terminal.text().splitlines()) == 31


def test_narrow_and_tiny_terminals() -> None:
    for columns in (1, 5, 20, 25, 40):
        draw(Terminal(columns), (100.4, STEPS), end=101.0)


def test_a_narrower_terminal_is_redrawn_from_the_wrapped_start() -> None:
    size = [60, 24]
    written = bytearray()
    renderer = TtyRenderer(written.extend, lambda: (size[0], size[1]), NO_COLORS)
    renderer.update(STEPS, 100.4)
    size[0] = 30
    del written[:]
    renderer.update([], 100.5)
    # Header 23 columns, four lines of 59 columns, two short ones: 1 + 4 * 2 + 2.
    assert written.startswith(b"\x1b[?25l\x1b[11A\r")


def test_wide_characters_are_counted() -> None:
    terminal = Terminal(40)
    name = "RUN echo 加速編譯加速編譯加速編譯加速編譯"
    draw(terminal, (1.0, [vertex("a", name, 1.0, 1.0)]), end=1.0)
    assert width(terminal.text().splitlines()[1]) == 39
    assert width("a\u0301") == 1
    assert clip("加速", 3) == "加"


def test_control_characters_move_nothing() -> None:
    terminal = Terminal(60)
    events: list[Event] = [
        vertex("a", "RUN <<EOF\n\x1b[2Jecho\tx", 1.0),
        log("a", b"\x1b[31mred\x1b[0m\x1b]0;title\x07!\n10%\r50%\rab\bc\n", 1.0),
    ]
    draw(terminal, (1.0, events), end=None)
    lines = terminal.text().splitlines()
    assert lines[1].startswith(" => RUN <<EOF  [2Jecho x")
    assert lines[2:] == [" => => # red!", " => => # ac"]


def test_only_the_last_lines_of_a_log_are_kept() -> None:
    tail = LogTail(3)
    for number in range(1000):
        tail.add(b"line %d\n" % number)
    tail.add(b"x" * 100_000)
    assert tail.show()[0] == "line 998"
    assert len(tail.show()) == 3


def test_colors() -> None:
    assert choose_colors({"NO_COLOR": "1", "BUILDKIT_COLORS": "run=green"}) == NO_COLORS
    assert choose_colors({}).run == "\x1b[34m"
    chosen = choose_colors({"BUILDKIT_COLORS": "run=light-cyan:error=255,0,0:cancel=nope:x=red"})
    assert chosen == Colors(run="\x1b[96m", error="\x1b[38;5;196m")
    renderer = TtyRenderer(lambda _: None, lambda: (60, 24), Colors())
    renderer.update(STEPS, 100.4)
    frame = renderer.frame(100.4, 60, 24, whole=False)
    assert frame[1].startswith("\x1b[34m => [internal]")
    assert frame[1].endswith("0.0s\x1b[0m")
    assert frame[4].startswith(" => [3/3]")
    assert frame[5] == "\x1b[2m => => # one\x1b[0m"


def test_the_reason_of_a_cache_miss_is_faint_and_below_the_step() -> None:
    renderer = TtyRenderer(lambda data: len(data), lambda: (60, 24), Colors())
    renderer.update([vertex("a", "RUN a", 1.0), ReasonEvent(key("a"), "a changed")], 1.0)
    (_, step, reason) = renderer.frame(1.0, 60, 24, whole=False)
    assert "RUN a" in step
    assert reason.startswith("\x1b[2m => => a changed")
