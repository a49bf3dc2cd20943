"""Campaign `cache`: cached results are those that a build without a cache would make.

This holds for stores, daemons and exported caches. A round has one random Dockerfile and one
context, which is changed repeatedly, also while a build runs. After each change, a build in an
empty store gives the expected result.
"""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from tests.campaigns.contexts import change, make_context, restore, save
from tests.campaigns.dockerfiles import random_dockerfile
from tests.campaigns.gate import Gate
from tests.campaigns.outcomes import Outcome, differences, outcome, sane
from tests.campaigns.runner import Campaign
from tests.commands import Done, Lamina, RemoteLamina
from tests.corpus.corpus_image import make_bases
from tests.daemon_process import DaemonProcess
from tests.real_registry import running_registry
from tests.registry.registry_server import fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.campaigns.runner import Round
    from tests.corpus.corpus_image import Tree

STEPS = 4
_PATIENCE = 60.0  # seconds until a step has reached the gate, or its build has failed


class _Bench:
    """The resources that all rounds share."""

    def __init__(self, bases: Path, tree: Tree, daemon: RemoteLamina, registry: str, gate: Gate):
        self.bases = bases
        self.tree = tree
        self.daemon = daemon
        self.registry = registry
        self.gate = gate


class _Case:
    """A Dockerfile, its context, and the stores that have built it before."""

    def __init__(self, bench: _Bench, now: Round) -> None:
        self._bench = bench
        self._now = now
        self.context = now.folder / "context"
        self._file = now.folder / "Dockerfile"
        self._warm = Lamina(now.folder / "warm")
        self._number = 0
        self._caches: list[str] = []
        self._base = now.chance.choice(
            (f"oci-layout://{bench.bases}:base", f"docker-image://{bench.registry}/base")
        )
        make_context(now.chance, self.context)
        gate = bench.gate.address if now.likely(0.4) else ""
        text, self.waiting = random_dockerfile(now.chance, gate)
        self._file.write_text(text)

    def arguments(self) -> list[str]:
        allow = ["--allow", "network.host"] if self.waiting else []
        base = ["--build-context", f"base={self._base}"]
        return [*allow, *base, "-f", str(self._file), str(self.context)]

    def check(self) -> None:
        """Check that every builder and cache gives the result of an empty store for the current
        context."""
        wanted = self._outcome(Lamina(self._fresh("clean")))
        doors = {"the warm store": self._warm, "the warm daemon": self._bench.daemon}
        for name, door in doors.items():
            self._agrees(wanted, self._outcome(door), name)
        if wanted.code:
            self._now.counts["builds refused"] += 1
            return
        if self._now.likely(0.4):
            self._export()
        for source in self._caches[-1:]:
            found = self._outcome(Lamina(self._fresh("importing")), f"--cache-from={source}")
            self._agrees(wanted, found, f"an empty store with the cache {source}")
            self._now.counts["caches imported"] += 1

    def build_while(self, happens: Callable[[], None]) -> None:
        """Something happens while a step runs. What is built is no matter: what is kept is."""
        door = self._now.chance.choice((self._warm, self._bench.daemon))
        self._bench.gate.hold()
        # A cached step does not reach the gate.
        again = f"--no-cache-filter={self.waiting}"
        command = door.command("build", "--progress=plain", again, *self.arguments())
        log = self._now.folder / "during.log"
        with log.open("wb") as file:
            build = subprocess.Popen(command, env=door.environment(), stderr=file)
        try:
            reached = self._wait_at_gate(build)
            happens()
            self._bench.gate.release()
            code = build.wait(120)
        finally:
            self._bench.gate.release()
            if build.poll() is None:
                build.kill()
                build.wait()
        sane(Done(code, "", log.read_text()))
        self._now.counts["edits during builds"] += reached

    def _wait_at_gate(self, build: subprocess.Popen[bytes]) -> bool:
        for _ in range(int(_PATIENCE * 20)):
            if self._bench.gate.reached(0.05):
                return True
            if build.poll() is not None:
                return False
        raise AssertionError("a build neither ends nor comes to its step")

    def _outcome(self, door: Lamina, *args: str) -> Outcome:
        self._number += 1
        self._now.counts["builds"] += 1
        layout = self._now.folder / f"out{self._number}"
        return outcome(door, self._bench.tree, layout, *args, *self.arguments())

    def _agrees(self, wanted: Outcome, found: Outcome, who: str) -> None:
        if found.result != wanted.result:
            steps = (self._now.folder / "steps").read_text()
            text = self._file.read_text()
            raise AssertionError(
                f"{who} differs from an empty store (-: right, +: what it has)\n"
                f"{differences(wanted, found)}\nsteps: {steps}\n{text}"
            )

    def _export(self) -> None:
        kind = self._now.chance.choice(("local", "registry", "inline"))
        name = f"{self._bench.registry}/cache/r{self._now.number}:{self._number}"
        folder = self._now.folder / f"cache{self._number}"
        to, source, more = {
            "local": (f"type=local,dest={folder},mode=max", f"type=local,src={folder}", []),
            "registry": (f"type=registry,ref={name},mode=max", f"type=registry,ref={name}", []),
            "inline": ("type=inline", f"type=registry,ref={name}", ["--push", "-t", name]),
        }[kind]
        done = sane(self._warm("build", f"--cache-to={to}", *more, *self.arguments()))
        assert done.code == 0, f"a cache of type {kind} is not exported: {done.err}"
        self._caches.append(source)

    def _fresh(self, name: str) -> Path:
        return self._now.folder / f"{name}{self._number}"


def _play(bench: _Bench, now: Round, steps: int) -> None:
    case = _Case(bench, now)
    saved = now.folder / "saved"
    save(case.context, saved)
    log: list[str] = []

    def edit() -> None:
        log.append(change(now.chance, case.context))

    for step in range(steps):
        if step and now.likely(0.2):
            log.append("restore")
            restore(case.context, saved)
        elif step:
            for _ in range(now.chance.choice((1, 1, 2, 3))):
                edit()
        if case.waiting and now.likely(0.7):
            log.append("while a step runs:")
            before = now.folder / f"before{step}"
            save(case.context, before)
            case.build_while(edit)
            if now.likely(0.5):  # as after `git checkout`
                log.append("restore")
                restore(case.context, before)
        (now.folder / "steps").write_text(", ".join(log))
        case.check()
        log.append("/")


@contextmanager
def _open(folder: Path, _: int, *, steps: int) -> Iterator[Callable[[Round], None]]:
    tree = make_bases(folder / "bases")
    with (
        running_registry(folder / "registry") as registry,
        DaemonProcess(folder / "store", "--allow-insecure-entitlement", "network.host") as daemon,
        Gate() as gate,
    ):
        fill(registry, folder / "bases", "base", tag="base")
        remote = RemoteLamina(folder, daemon.address)
        bench = _Bench(folder / "bases", tree, remote, registry, gate)
        yield lambda now: _play(bench, now, steps)
        assert "Traceback" not in daemon.read_log(), daemon.log


def campaign(steps: int = STEPS) -> Campaign:
    """Run rounds. `steps` is the number of versions of the context in a round."""
    return Campaign(partial(_open, steps=steps))
