"""Campaign `full-disk`: the store's file system fills up at any moment.

Failures are reported, successful commands have correct results, and everything works again when
there is space.
"""

from __future__ import annotations

import re
import shutil
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from tests.campaigns.kill import damaged_blobs
from tests.campaigns.outcomes import Outcome, differences, outcome, sane
from tests.campaigns.runner import Campaign
from tests.commands import Lamina, RemoteLamina
from tests.corpus.corpus_image import make_bases
from tests.daemon_process import DaemonProcess
from tests.real_registry import running_registry
from tests.registry.registry_server import fill
from tests.small_disks import Filler, free, little, small_disk, wait_for_room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.campaigns.runner import Round
    from tests.commands import Done
    from tests.corpus.corpus_image import Tree

OPERATIONS = 6
_SIZES = (48 << 20, 64 << 20, 96 << 20)
_ENDING = 30.0  # the maximum duration of a build in seconds
_NEEDED = 24 << 20  # the number of bytes that a complete build needs
# The messages about missing space, from lamina, from the tools of a step, or from the database.
_NO_ROOM = re.compile(r"[Nn]o space left|disk|full|prune|quota|exit code", re.IGNORECASE)
_DOCKERFILE = """FROM base
COPY in /in
RUN --mount=type=cache,target=/c seq @N@ 300000 > /c/seq && cp /c/seq /seq && sha256sum /seq > /sum
RUN rm /seq && head -c 2000000 /in > /half
"""


class _Bench:
    def __init__(self, bases: Path, tree: Tree, registry: str) -> None:
        self.bases = bases
        self.tree = tree
        self.registry = registry


class _Case:
    """A disk, its store, and a builder on it."""

    def __init__(self, bench: _Bench, now: Round, disk: Path, door: Lamina) -> None:
        self._bench = bench
        self._now = now
        self._disk = disk
        self._door = door
        self._out = disk / "out"  # the export needs space too
        self._out.mkdir()
        self._built = 0
        self._variant = 0  # of the Dockerfile
        self._context = now.folder / "context"
        self._context.mkdir()
        (self._context / "in").write_bytes(now.chance.randbytes(4 << 20))

    def operate(self) -> None:
        """Run one command while there is little space, or while it runs out."""
        name = f"{self._bench.registry}/full/r{self._now.number}:{self._built}"
        kinds: dict[str, Callable[[], Done]] = {
            "build": lambda: self._door("build", *self._args()),
            "push": lambda: self._door("build", "--push", "-t", name, *self._args()),
            "export": lambda: self._door("build", "-o", self._exported(), *self._args()),
            "cache": lambda: self._door(
                "build", "--cache-to", f"type=local,dest={self._out}/cache", *self._args()
            ),
            "prune": lambda: self._door("prune", "-af"),
            "usage": lambda: self._door("du"),
        }
        if not isinstance(self._door, RemoteLamina):
            kinds["pull"] = lambda: self._door("pull", f"{self._bench.registry}/base")
        kind = self._now.chance.choice(list(kinds))
        with Filler(self._disk) as filler:
            if self._now.likely(0.5):
                filler.leave(little(self._now.chance, 8 << 20))
            else:
                later = self._now.chance.uniform(0, 1.5)
                filler.leave_later(little(self._now.chance, 1 << 20), later)
            done = sane(kinds[kind]())
        self._now.counts[f"{kind}: {'refused' if done.code else 'done'}"] += 1
        if done.code:
            assert _NO_ROOM.search(done.err), f"{kind} does not say why it fails: {done.err}"

    def check(self) -> None:
        """Check that with free space, builds are correct, also with results that were cached
        before."""
        self._make_room()
        damaged = damaged_blobs(self._disk)
        assert not damaged, f"blobs that are not what their names say: {damaged}"
        found = self._outcome(self._door)
        assert found.code == 0, found.said
        wanted = self._outcome(Lamina(self._now.folder / "clean"))
        assert found.lines == wanted.lines, differences(wanted, found)
        self._now.counts["checks"] += 1

    def _make_room(self) -> None:
        shutil.rmtree(self._out)
        self._out.mkdir()
        # A build whose client failed may still be ending in the daemon, and keeps its leases.
        deadline = time.monotonic() + _ENDING
        while True:
            done = sane(self._door("prune", "-af"))
            assert done.code == 0, f"a disk with room cannot be pruned: {done.err}"
            if wait_for_room(self._disk, _NEEDED, seconds=1):
                return
            assert time.monotonic() < deadline, f"{free(self._disk)} bytes are free"

    def _outcome(self, door: Lamina) -> Outcome:
        self._built += 1
        layout = self._now.folder / f"out{self._built}"
        return outcome(door, self._bench.tree, layout, *self._args(again=True))

    def _exported(self) -> str:
        kind = self._now.chance.choice(("oci", "docker", "tar"))
        return f"type={kind},dest={self._out}/{kind}.tar"

    def _args(self, *, again: bool = False) -> Sequence[str]:
        if not again:
            self._variant = self._now.chance.randrange(4)
        file = self._now.folder / f"Dockerfile{self._variant}"
        file.write_text(_DOCKERFILE.replace("@N@", str(self._variant)))
        base = f"base=docker-image://{self._bench.registry}/base"
        return [
            *("--progress=plain", "-f", str(file)),
            *("--build-context", base, str(self._context)),
        ]


@contextmanager
def _door(now: Round, disk: Path) -> Iterator[Lamina]:
    if now.likely(0.5):
        yield Lamina(disk)
        return
    config = now.folder / "daemon.toml"
    config.write_text(f"[worker.oci]\ngc = {'true' if now.likely(0.5) else 'false'}\n")
    with DaemonProcess(disk, "--config", str(config)) as daemon:
        yield RemoteLamina(now.folder, daemon.address)
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log, daemon.log


def _play(bench: _Bench, now: Round, operations: int) -> None:
    kind, size = now.chance.choice(("tmpfs", "ext4")), now.chance.choice(_SIZES)
    with small_disk(kind, size, now.folder) as disk, _door(now, disk) as door:
        case = _Case(bench, now, disk, door)
        for _ in range(operations):
            case.operate()
            if now.likely(0.3):
                case.check()
        case.check()


@contextmanager
def _open(folder: Path, _: int, *, operations: int) -> Iterator[Callable[[Round], None]]:
    tree = make_bases(folder / "bases")
    with running_registry(folder / "registry") as registry:
        fill(registry, folder / "bases", "base", tag="base")
        bench = _Bench(folder / "bases", tree, registry)
        yield lambda now: _play(bench, now, operations)


def campaign(operations: int = OPERATIONS) -> Campaign:
    """Run rounds. `operations` is the number of commands in a round while there is little space."""
    return Campaign(partial(_open, operations=operations))
