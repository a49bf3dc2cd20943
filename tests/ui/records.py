"""Records of builds that are larger, or more hostile, than a test can build."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.api.history import BuildHistoryRecord
from lamina.base.digest import digest_of
from lamina.base.events import LogEvent, VertexEvent, WarningEvent
from lamina.records.recorder import BuildRecorder
from lamina.records.table import RecordTable

if TYPE_CHECKING:
    from lamina.base.digest import Digest
    from lamina.stores.store import Store

LINES = 1_000_000
_PIECE = 1_000  # lines
START = 1_700_000_000.0
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
ESCAPES = (
    "\x1b]0;title\x07\x1b[2J\x1b[31mred\x1b[0m\x1b]8;;javascript:alert(3)\x07link\x1b]8;;\x07\u202e"
)
SECRET = "hunter2"


def step(number: int) -> Digest:
    return digest_of(b"%d" % number)


def recorder(store: Store, ref: str, **attributes: str) -> BuildRecorder:
    """The recorder of a build that starts."""
    given = {"filename": "Dockerfile", **attributes}
    record = BuildHistoryRecord(ref, "dockerfile.v0", tuple(given.items()), context_path="/src/app")
    return BuildRecorder(store, RecordTable(store), record)


def record_many_steps(store: Store, ref: str, count: int = 1_000, stages: int = 50) -> None:
    """A build of many steps: stages of equal length, each on the one before, and on the first."""
    with recorder(store, ref) as recording:
        length = count // stages
        for number in range(count):
            stage, place = divmod(number, length)
            before = [number - 1] if place else ([(stage - 1) * length] if stage else [])
            began = START + stage * 0.5 + place * 0.3
            recording.event_sink(
                VertexEvent(
                    step(number),
                    f"[stage{stage} {place + 1}/{length}] RUN make part-{number}",
                    tuple(map(step, before)),
                    began,
                    began + 0.25,
                    cached=number % 3 == 0,
                )
            )


def record_long_log(store: Store, ref: str, lines: int = LINES) -> None:
    """A build with a step that prints very much."""
    with recorder(store, ref) as recording:
        sink = recording.event_sink
        sink(VertexEvent(step(0), "[1/1] RUN make", (), START))
        for first in range(0, lines, _PIECE):
            text = "".join(
                f"\x1b[32m[{number * 100 // lines:3d}%]\x1b[0m compiling src/file{number}.c\n"
                for number in range(first, first + _PIECE)
            )
            sink(LogEvent(step(0), 1, text.encode(), START + first / 10_000))
        sink(VertexEvent(step(0), "[1/1] RUN make", (), START, START + lines / 10_000))


def record_hostile(store: Store, ref: str) -> None:
    """A build whose names and output are markup and escape sequences, and contain a password."""
    url = f"https://user:{SECRET}@example.com/{MARKUP}"
    attributes = {"target": MARKUP, f"build-arg:{MARKUP}": f"{ESCAPES} {url}"}
    with recorder(store, ref, **attributes) as recording:
        sink = recording.event_sink
        name = f"[{MARKUP} 1/1] RUN {MARKUP} {ESCAPES} {url}"
        sink(VertexEvent(step(0), name, (), START, START + 1, error=f"{MARKUP} {ESCAPES} {url}"))
        sink(LogEvent(step(0), 2, f"{MARKUP}{ESCAPES}\n".encode() + bytes(range(256)), START))
        sink(WarningEvent(step(0), f"{MARKUP} {url}", (MARKUP,), "javascript:alert(4)"))
