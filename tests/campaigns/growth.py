"""Campaign `growth`: the resources of a daemon do not grow with the number of builds.

A round is a number of builds of random kinds. The daemon's resources after it are compared with
those after the first round. Memory is compared from the fourth round on: until then, history and
caches of limited size fill up.
"""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from tests.campaigns.machine import soon
from tests.campaigns.outcomes import sane
from tests.campaigns.runner import Campaign
from tests.commands import RemoteLamina
from tests.corpus.corpus_image import make_bases
from tests.daemon.test_vanishing import left, threads
from tests.daemon_process import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.campaigns.runner import Round

BUILDS = 50  # per round
ROUNDS = 20
_DESCRIPTORS, _THREADS = 8, 12  # the number of idle workers and connections varies
_MEMORY = 16 << 20  # in total, for any number of rounds
_WARM = 4  # rounds
_VARIANTS = 20
_SETTLING = 30  # the maximum in seconds


class _Held(NamedTuple):
    """The resources of a daemon at one moment; memory in bytes."""

    descriptors: int
    threads: int
    memory: int
    files: int
    mounts: int

    def __str__(self) -> str:
        return (
            f"{self.descriptors} descriptors, {self.threads} threads, {self.memory >> 20} MiB,"
            f" {self.files} temporary files, {self.mounts} mounts"
        )


def held(daemon: DaemonProcess) -> _Held:
    pid = daemon.process.pid
    with open(f"/proc/{pid}/statm") as file:
        pages = int(file.read().split()[1])
    files, mounts, _ = left(daemon)
    return _Held(
        len(os.listdir(f"/proc/{pid}/fd")),
        threads(daemon),
        pages * os.sysconf("SC_PAGE_SIZE"),
        len(files),
        len(mounts),
    )


class _Growth:
    """A daemon, its client, and the daemon's resources after each round."""

    def __init__(self, folder: Path, daemon: DaemonProcess, builds: int) -> None:
        self._folder = folder
        self._daemon = daemon
        self._builds = builds
        self._client = RemoteLamina(folder, daemon.address)
        self._after: list[_Held] = []
        self._context = folder / "context"
        self._context.mkdir()

    def play(self, now: Round) -> None:
        for _ in range(self._builds):
            self._build(now)
        after = self._settled()
        print(f"after {self._builds} builds: {after}", flush=True)
        grown = self._grown(after) if self._after else []
        self._after.append(after)
        assert not grown, f"{', '.join(grown)} grew: {self._after[0]}; now {after}"

    def _settled(self) -> _Held:
        """The resources when no build runs and nothing is ending any more."""
        assert soon(lambda: left(self._daemon)[2] == []), "steps run though no build does"
        last = held(self._daemon)
        for _ in range(_SETTLING):
            time.sleep(1)
            now = held(self._daemon)
            if now._replace(memory=0) == last._replace(memory=0) and not now.files:
                return now
            last = now
        return last

    def _grown(self, now: _Held) -> list[str]:
        """The names of the resources that have grown."""
        first, warm = self._after[0], self._after[:_WARM]
        more = {
            "descriptors": now.descriptors > first.descriptors + _DESCRIPTORS,
            "threads": now.threads > first.threads + _THREADS,
            "memory": len(warm) == _WARM and now.memory > warm[-1].memory + _MEMORY,
            "temporary files": now.files > first.files,
            "mounts": now.mounts > first.mounts,
        }
        return [name for name, is_more in more.items() if is_more]

    def _build(self, now: Round) -> None:
        """Run a build that succeeds, fails or is killed, with outputs or none, cached or new."""
        number = now.chance.randrange(_VARIANTS) if now.likely(0.7) else now.chance.getrandbits(40)
        kind = now.chance.choice(("works", "works", "works", "fails", "vanishes", "output"))
        text = f"FROM base\nCOPY file /file\nRUN echo {number} > /n\n"
        if kind == "fails":
            text += f"RUN exit {number % 50 + 1}\n"
        if kind == "vanishes":
            text += f"RUN echo {number}; sleep 20\n"
        (self._context / "Dockerfile").write_text(text)
        (self._context / "file").write_text(str(number % 5))
        base = f"base=oci-layout://{self._folder}/bases:base"
        out = ["-o", f"type=local,dest={now.folder}/out"] if kind == "output" else []
        args = ["build", "--progress=plain", "--build-context", base, *out, str(self._context)]
        if kind == "vanishes":
            self._vanish(now, args)
        else:
            done = sane(self._client(*args))
            assert (done.code == 0) == (kind != "fails"), done.err
        now.counts[f"builds: {kind}"] += 1

    def _vanish(self, now: Round, args: list[str]) -> None:
        command = self._client.command(*args)
        client = subprocess.Popen(
            command, env=self._client.environment(), stderr=subprocess.DEVNULL
        )
        try:
            client.wait(now.chance.uniform(0.2, 1.0))
        except subprocess.TimeoutExpired:
            pass
        finally:
            client.kill()
            client.wait()


@contextmanager
def _open(folder: Path, _: int, *, builds: int) -> Iterator[Callable[[Round], None]]:
    make_bases(folder / "bases")
    with DaemonProcess(folder / "store") as daemon:
        yield _Growth(folder, daemon, builds).play
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log, daemon.log


def campaign(builds: int = BUILDS) -> Campaign:
    """Run rounds. `builds` is the number of builds in a round."""
    return Campaign(partial(_open, builds=builds), ROUNDS)
