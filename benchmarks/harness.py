"""Shared by the benchmarks: timed commands, a median, a base image, a registry, a table."""

from __future__ import annotations

import re
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BASE = """FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
"""


class Run(NamedTuple):
    """One command: the elapsed seconds, its peak memory in MB, and its output."""

    seconds: float
    resident: float
    said: str = ""


class Row(NamedTuple):
    """A line of the table. `limit` is in the unit of `median`, which is seconds or a ratio."""

    work: str
    median: float
    limit: float
    runs: tuple[float, ...]
    resident: float
    unit: str = "s"


class Lamina:
    """The command, on a separate store."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, *args: str) -> Run:
        """Run and time it. Raises CalledProcessError, after printing its output."""
        command = [sys.executable, "-m", "lamina", "--root", str(self.root), *args]
        return timed(command)

    def build(self, context: Path, *args: str) -> Run:
        return self("build", "--progress=plain", *args, str(context))


def timed(command: list[str]) -> Run:
    """Run a command to its end. Raises CalledProcessError, after printing its output."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    resident: list[float] = [0.0]
    sampler = threading.Thread(target=_sample, args=(process, resident))
    sampler.start()
    output, _ = process.communicate()
    seconds = time.monotonic() - began
    sampler.join()
    if process.returncode:
        sys.stderr.write(output.decode(errors="replace"))
        raise subprocess.CalledProcessError(process.returncode, command)
    return Run(seconds, max(resident), output.decode(errors="replace"))


def _sample(process: subprocess.Popen[bytes], resident: list[float]) -> None:
    """Sample a process's peak memory. That of wait(2) includes this process's own before the
    exec."""
    while process.returncode is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            return
        marks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
        resident += [int(mark) / 1024 for mark in marks]
        time.sleep(0.02)


def step_seconds(run: Run, text: str) -> float:
    """The duration of the step whose line in a plain log contains a text; 0 if it was cached."""
    (number,) = re.findall(rf"^#(\d+) \[.*{re.escape(text)}", run.said, re.MULTILINE)[:1]
    found = re.search(rf"^#{number} DONE ([0-9.]+)s", run.said, re.MULTILINE)
    return float(found[1]) if found else 0.0


def repeat(count: int, run: Callable[[int], Run]) -> list[Run]:
    """Run several times, each with its number."""
    return [run(number) for number in range(count)]


def row(work: str, runs: list[Run], limit: float) -> Row:
    """The median of several runs."""
    seconds = [run.seconds for run in runs]
    return Row(
        work,
        statistics.median(seconds),
        limit,
        tuple(seconds),
        max(run.resident for run in runs),
    )


def write_context(folder: Path, dockerfile: str) -> Path:
    """A context with busybox, for a Dockerfile on top of `base`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Dockerfile").write_text(BASE + dockerfile)
    shutil.copy("/bin/busybox", folder / "busybox")
    return folder


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """A registry on loopback. Yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = folder / "registry.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\n"
        f"http: {{addr: '{address}'}}\n"
    )
    server = subprocess.Popen(
        ["docker-registry", "serve", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0:
                    break
            time.sleep(0.05)
        yield address
    finally:
        server.terminate()
        server.wait()


def show(rows: list[Row]) -> None:
    """Print the table, as Markdown."""
    print("| work | median | at most | runs | resident |")
    print("|---|---|---|---|---|")
    for entry in rows:
        mark = "" if entry.median <= entry.limit else " (over)"
        runs = " ".join(f"{value:.2f}" for value in entry.runs)
        print(
            f"| {entry.work} | {entry.median:.3f} {entry.unit}{mark} | {entry.limit:g} "
            f"{entry.unit} | {runs} | {entry.resident:.0f} MB |",
            flush=True,
        )
