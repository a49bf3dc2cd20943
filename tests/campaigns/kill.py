"""Campaign `kill`: SIGKILL at any moment.

No recorded data is lost or incomplete, nothing is left behind, and the next build gives the correct
image. A round has one store (and one repository in a registry) and kills several commands that use
it.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from tests.campaigns.machine import cgroups_of, mounts_below, processes_with, soon
from tests.campaigns.outcomes import outcome, sane
from tests.campaigns.runner import Campaign
from tests.commands import Lamina, RemoteLamina
from tests.corpus.corpus_image import make_bases
from tests.daemon_process import DaemonProcess
from tests.e2e.test_registry_faults import every_manifest
from tests.real_registry import running_registry
from tests.registry.registry_server import fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.campaigns.runner import Round
    from tests.corpus.corpus_image import Tree

KILLS = 6
_SOON, _LATE = 0.03, 2.0  # seconds until a kill, for commands that take long
_SHORT = 0.4  # and for short ones
# The result is a function of @N@ only, though the steps use cache mounts and random files.
_DOCKERFILE = """FROM base AS one
COPY in /in
RUN --mount=type=cache,target=/c head -c 3000000 /dev/urandom > /c/x; mv /c/x /x; rm /x
RUN echo @N@ > /one
FROM base AS two
RUN seq @N@ 200000 > /seq; mkdir -p /deep/er; echo two > /deep/er/file; ln -s er /deep/link
FROM base
COPY --from=one /one /in /
COPY --from=two /deep /deep
RUN --mount=type=bind,from=two,source=/seq,target=/seq sha256sum < /seq > /sum; sleep 0.@N@
"""


class _Bench:
    def __init__(self, bases: Path, tree: Tree, registry: str) -> None:
        self.bases = bases
        self.tree = tree
        self.registry = registry


class _Case:
    """A store, and the commands on it that are killed."""

    def __init__(self, bench: _Bench, now: Round) -> None:
        self._bench = bench
        self._now = now
        self._context = now.folder / "context"
        self._context.mkdir()
        (self._context / "in").write_bytes(os.urandom(4 << 20))
        self._lamina = Lamina(now.folder / "store")
        self._built = 0
        self._variant = 0  # of the Dockerfile

    def kill_one(self) -> None:
        """Start a command and kill it."""
        name = f"{self._bench.registry}/kill/r{self._now.number}:{self._built}"
        kinds: dict[str, Callable[[], None]] = {
            "builds": lambda: self._kill(self._build("-t", "it")),
            "builds that push": lambda: self._kill(self._build("--push", "-t", name)),
            "cache exports": lambda: self._kill(
                self._build("--cache-to", f"type=registry,ref={name}-cache,mode=max,mounts=true")
            ),
            "pushes": lambda: self._kill(self._pushing(name), late=_SHORT),
            "prunes": lambda: self._kill(self._lamina.command("prune", "-af"), late=_SHORT),
            "removals": lambda: self._kill(self._lamina.command("rmi", "it"), late=_SHORT),
            "daemons": self._kill_daemon,
            "two builds": lambda: self._kill(self._build(), self._build()),
        }
        if self._now.likely(0.6):
            self._variant += 1
        kind = self._now.chance.choice(list(kinds))
        kinds[kind]()
        self._now.counts[f"kills of {kind}"] += 1

    def check(self) -> None:
        """Check that the store opens, is undamaged, and gives correct builds."""
        usage = sane(self._lamina("du"))
        assert usage.code == 0, usage.err
        self._nothing_is_left()
        damaged = damaged_blobs(self._lamina.root)
        assert not damaged, f"blobs that are not what their names say: {damaged}"
        checked = sane(self._lamina("check"))
        assert checked.code == 0, f"lamina check: {checked.out}{checked.err}"
        self._builds_what_is_right()

    def _builds_what_is_right(self) -> None:
        """Compare a build with this store and one with an empty store."""
        number = self._built
        found = [
            outcome(lamina, self._bench.tree, self._now.folder / f"out{number}{at}", *self._args())
            for at, lamina in enumerate((self._lamina, Lamina(self._now.folder / f"c{number}")))
        ]
        assert found[0].code == 0, found[0].said
        assert found[0].lines == found[1].lines, f"{found[0].lines}\n{found[1].lines}"
        self._now.counts["checks"] += 1
        self._built += 1

    def _args(self) -> Sequence[str]:
        file = self._now.folder / f"Dockerfile{self._variant}"
        file.write_text(_DOCKERFILE.replace("@N@", str(self._variant)))
        return ["-f", str(file), *self._base(), str(self._context)]

    def _base(self) -> Sequence[str]:
        return ["--build-context", f"base=docker-image://{self._bench.registry}/base"]

    def _build(self, *args: str) -> Sequence[str]:
        return self._lamina.command("build", "--progress=plain", *args, *self._args())

    def _pushing(self, name: str) -> Sequence[str]:
        sane(self._lamina("build", "-t", name, *self._args()))
        return self._lamina.command("push", name)

    def _wait(self, late: float) -> None:
        """Wait for a random time, which is more often short: the start has most different
        states."""
        time.sleep(_SOON * (late / _SOON) ** self._now.chance.random())

    def _kill(self, *commands: Sequence[str], late: float = _LATE) -> None:
        with (self._now.folder / "killed.log").open("ab") as log:
            running = [subprocess.Popen(command, stderr=log, stdout=log) for command in commands]
        self._wait(late)
        for process in running:
            process.send_signal(signal.SIGKILL)
        for process in running:
            code = process.wait(20)
            self._now.counts["ended before"] += code != -signal.SIGKILL
        assert soon(self._no_process), "processes of a killed command go on"
        for process in running:
            removed = partial(self._next_step_removes_cgroups, process.pid)
            assert soon(removed, 10), cgroups_of(process.pid)

    def _next_step_removes_cgroups(self, pid: int) -> bool:
        """A control group whose last process is still ending is removed after the next step.

        Only commands that run a step look for control groups of dead processes.
        """
        if cgroups_of(pid):
            file = self._now.folder / "Dockerfile.step"
            file.write_text("FROM base\nRUN true\n")
            args = ["-f", str(file), *self._base(), str(self._context)]
            ran = sane(self._lamina("build", "--no-cache", *args))
            assert ran.code == 0, ran.err
        return not cgroups_of(pid)

    def _kill_daemon(self) -> None:
        with DaemonProcess(self._lamina.root) as daemon:
            remote = RemoteLamina(self._now.folder, daemon.address)
            command = remote.command("build", "--progress=plain", *self._args())
            with (self._now.folder / "client.log").open("wb") as log:
                client = subprocess.Popen(command, env=remote.environment(), stderr=log)
            try:
                self._wait(_LATE)
                daemon.kill()
                code = client.wait(30)  # it gets the signal
            finally:
                client.kill()
                client.wait()
        said = (self._now.folder / "client.log").read_text()
        assert "Traceback" not in said, said
        assert code in (0, 1), said
        self._now.counts["ended before"] += code == 0

    def _no_process(self) -> bool:
        return not processes_with(f"{self._lamina.root}")

    def _nothing_is_left(self) -> None:
        assert soon(self._no_process), "processes are left"
        assert not mounts_below(self._now.folder), mounts_below(self._now.folder)
        tmp = self._lamina.root / "tmp"
        # Interrupted downloads are resumed.
        left = [name for name in os.listdir(tmp) if name != "ingest"]
        assert not left, f"temporary folders are left: {left}"


def damaged_blobs(root: Path) -> list[str]:
    """The blobs of a store or layout whose content does not match their digest."""
    found = []
    for entry in os.scandir(root / "blobs" / "sha256"):
        if entry.is_file(follow_symlinks=False) and len(entry.name) == 64:
            with open(entry.path, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != entry.name:
                    found.append(entry.name)
    return found


def _play(bench: _Bench, now: Round, kills: int) -> None:
    case = _Case(bench, now)
    case.check()
    for _ in range(kills):
        case.kill_one()
        if now.likely(0.7):
            case.check()
    case.check()
    now.counts["manifests read"] += every_manifest(bench.registry, f"kill/r{now.number}")


@contextmanager
def _open(folder: Path, _: int, *, kills: int) -> Iterator[Callable[[Round], None]]:
    tree = make_bases(folder / "bases")
    with running_registry(folder / "registry") as registry:
        fill(registry, folder / "bases", "base", tag="base")
        bench = _Bench(folder / "bases", tree, registry)
        yield lambda now: _play(bench, now, kills)


def campaign(kills: int = KILLS) -> Campaign:
    """Run rounds. `kills` is the number of kills in a round."""
    return Campaign(partial(_open, kills=kills))
