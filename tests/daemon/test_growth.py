"""The resources of a daemon do not grow with the number of builds."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import pytest

from lamina.wire.address import dial
from lamina.wire.contract import StatusError
from tests.daemon.daemon_client import solve
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_WARM_UP = 20
_BUILDS = 60
_ARENA = 64 << 20
_MORE_THREADS = 4  # pools start threads on demand, up to a few per processor
_MEMORY = 16 << 10  # KiB; with two database connections a build it grew by more than twice that


class Held(NamedTuple):
    """The resources of a process: open files by kind, threads."""

    files: list[str]
    threads: int


def held(pid: int) -> Held:
    files = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # it was closed meanwhile
            files.append(os.readlink(f"/proc/{pid}/fd/{fd}").split(":")[0])
    return Held(sorted(files), len(os.listdir(f"/proc/{pid}/task")))


def settled(pid: int) -> Held:
    """The resources when nothing has changed for a second: builds may need a moment to end."""
    last = held(pid)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        time.sleep(1)
        now = held(pid)
        if now == last:
            break
        last = now
    return last


def memory(pid: int) -> int:
    """In KiB."""
    with open(f"/proc/{pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields["VmRSS"].split()[0])


def arenas(pid: int) -> int:
    """The number of arenas of the C library besides the main one: 64 MiB each, reserved."""
    with open(f"/proc/{pid}/maps") as maps:
        rows = [line.split() for line in maps]
    spans = [[int(end, 16) for end in row[0].split("-")] for row in rows]
    return sum(
        used[0] % _ARENA == 0 and reserved == [used[1], used[0] + _ARENA] and row[1] == "---p"
        for used, reserved, row in zip(spans, spans[1:], rows[1:], strict=False)
    )


def test_threads_share_a_few_arenas(tmp_path: Path, context: Callable[..., Path]) -> None:
    folder = context('FROM base\nARG N\nRUN echo "$N" > /n\n')
    with DaemonProcess(tmp_path / "store") as daemon:

        def build(number: int) -> None:
            with dial(daemon.address) as channel:
                solve(channel, folder, **{"build-arg:N": str(number)})

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(build, range(16)))
        assert arenas(daemon.process.pid) <= 1


def test_builds_leave_no_objects_in_the_daemon(
    tmp_path: Path, context: Callable[..., Path]
) -> None:
    """Successful and failed ones, cached and not, each over a connection of its own."""
    folder = context('FROM base\nARG N\nRUN echo "$N" > /n; test "$N" -lt 15\n')
    with DaemonProcess(tmp_path / "store") as daemon:
        pid = daemon.process.pid

        def build(number: int) -> None:
            n = number % 20
            with dial(daemon.address) as channel:
                if n < 15:
                    solve(channel, folder, **{"build-arg:N": str(n)})
                    return
                with pytest.raises(StatusError, match="exit code: 1"):
                    solve(channel, folder, **{"build-arg:N": str(n)})

        for number in range(_WARM_UP):
            build(number)
        before, memory_before = settled(pid), memory(pid)
        for number in range(_BUILDS):
            build(number)
        assert memory(pid) - memory_before < _MEMORY
        after = settled(pid)
        assert after.files == before.files
        assert after.threads <= before.threads + _MORE_THREADS
