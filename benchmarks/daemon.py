"""The daemon: its start, and builds of clients. With BUILDKITD and BUILDCTL set, also those of
BuildKit.

These are paths of the two programs; they build the same directories with a separate root.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cached import write_cached
from benchmarks.harness import Row, Run, repeat, row, timed, write_context
from benchmarks.large_context import write_large
from lamina.client.contract import BuildRequest, ContextSpec
from lamina.client.remote import open_remote
from lamina.dockerfile.options import FrontendOptions
from lamina.system.cancel import Cancellation
from lamina.wire.address import dial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_AT_ONCE = 50


class Daemon:
    """A daemon on a socket. `seconds` is the time until it answered."""

    def __init__(self, name: str, command: list[str], work: Path) -> None:
        self.name = name
        self.address = f"unix://{work}/{name}.sock"
        began = time.monotonic()
        with (work / f"{name}.log").open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--root", str(work / name), "--addr", self.address],
                stdout=log,
                stderr=log,
            )
        while True:
            try:
                dial(self.address).close()
                break
            except Exception:
                assert self.process.poll() is None, f"see {name}.log"
                time.sleep(0.005)
        self.seconds = time.monotonic() - began

    def resident(self) -> float:
        """Its peak memory, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(x.split()[1]) / 1024 for x in status.splitlines() if "VmHWM" in x)

    def build(self, context: Path) -> Run:
        """Build with the `lamina` command."""
        command = [sys.executable, "-m", "lamina", "build", "--progress=plain"]
        return timed([*command, "--builder", self.address, str(context)])

    def at_once(self, context: Path) -> Run:
        """Many builds, each with its own step, over as many connections of this process."""

        def one(number: int) -> None:
            options = FrontendOptions(build_args=(("N", str(number)),))
            spec = ContextSpec(str(context), str(context / "Dockerfile"))
            with open_remote(self.address) as builder:
                builder.build(BuildRequest(spec, options), lambda _: None, Cancellation())

        began = time.monotonic()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(one, range(_AT_ONCE)))
        return Run(time.monotonic() - began, self.resident())


@contextmanager
def running(name: str, command: list[str], work: Path) -> Iterator[Daemon]:
    daemon = Daemon(name, command, work)
    try:
        yield daemon
    finally:
        daemon.process.send_signal(signal.SIGTERM)
        daemon.process.wait()


def buildctl(daemon: Daemon, context: Path) -> Run:
    return timed(
        [
            *(os.environ["BUILDCTL"], "--addr", daemon.address, "build", "--progress=plain"),
            *("--frontend=dockerfile.v0", f"--local=context={context}"),
            *(f"--local=dockerfile={context}", "--output=type=image,name=x"),
        ]
    )


def rebuilt(
    build: Callable[[Daemon, Path], Run], daemon: Daemon, folder: Path, times: int
) -> list[Run]:
    """Builds of a directory that this daemon has built before."""
    return repeat(times, lambda _: build(daemon, folder))


def measure(work: Path) -> list[Row]:
    """Measure alternately if there are two daemons."""
    commands = {"lamina": [sys.executable, "-m", "lamina", "daemon"]}
    if os.environ.get("BUILDKITD"):
        commands["buildkitd"] = [os.environ["BUILDKITD"], "--oci-worker-snapshotter=overlayfs"]
    os.environ["LAMINA_CONFIG"] = os.devnull
    cached = write_cached(work / "cached")
    large = write_large(work / "large")
    small = write_context(work / "small", "ARG N\nRUN echo $N > /n\n")
    clients: dict[str, Callable[[Daemon, Path], Run]] = {"lamina": Daemon.build}
    if os.environ.get("BUILDCTL"):
        clients["buildctl"] = buildctl
    rows = []
    for name, command in commands.items():
        starts = []
        for _ in range(3):
            with running(name, command, work) as daemon:
                starts.append(Run(daemon.seconds, daemon.resident()))
        rows.append(row(f"{name}: start of the daemon", starts, 1))
    with ExitStack() as owned:
        daemons = [
            owned.enter_context(running(name, command, work)) for name, command in commands.items()
        ]
        for client, build in clients.items():
            for daemon in daemons:
                build(daemon, cached)
                runs = rebuilt(build, daemon, cached, 11)
                rows.append(row(f"{daemon.name} by {client}: fully cached, 12 steps", runs, 0.2))
        for daemon in daemons:
            rows.append(row(f"{daemon.name}: 20,000 files, cold", [daemon.build(large)], 12))
            rows.append(
                row(f"{daemon.name}: unchanged", rebuilt(Daemon.build, daemon, large, 3), 2)
            )

            def changed(number: int, daemon: Daemon = daemon) -> Run:
                (large / "app/d7/f7").write_text(f"edit {number} {daemon.name}")
                return daemon.build(large)

            rows.append(row(f"{daemon.name}: one file changed", repeat(3, changed), 4))
        for daemon in daemons:
            daemon.build(small)
            rows.append(
                row(f"{daemon.name}: {_AT_ONCE} builds at once", [daemon.at_once(small)], 20)
            )
    return rows
