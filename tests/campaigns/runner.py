"""Runs a campaign: random rounds, each with its own seed, until the time is up.

A round fails by raising an error. Its directory is kept with the error, and its number and the
campaign's seed are enough to run it again alone.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.campaigns.machine import clear

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

_REPORT_EVERY = 30.0  # seconds


class Round:
    """One round: its random numbers, its directory, and its counters.

    All decisions of a round use `chance`; `folder` is empty at first.
    """

    def __init__(self, number: int, chance: random.Random, folder: Path) -> None:
        self.number = number
        self.chance = chance
        self.folder = folder
        self.counts: Counter[str] = Counter()

    def likely(self, probability: float) -> bool:
        return self.chance.random() < probability


class Campaign(NamedTuple):
    """A campaign. `open(folder, seed)` prepares the shared resources and yields the function of a
    round.

    `rounds` is the number of rounds that make it complete, if it has one.
    """

    open: Callable[[Path, int], AbstractContextManager[Callable[[Round], None]]]
    rounds: int | None = None


class Limits(NamedTuple):
    """When to stop; None is no limit. `only` is the number of the only round to run."""

    seconds: float | None = None
    rounds: int | None = None
    only: int | None = None


class Finding(NamedTuple):
    round: int
    what: str
    evidence: str


class State:
    """The state of a campaign, as a JSON file."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.next = 0
        self.seconds = 0.0
        self.counts: Counter[str] = Counter()
        self.findings: list[Finding] = []

    @staticmethod
    def load(path: Path) -> State:
        document = json.loads(path.read_text())
        state = State(document["seed"])
        state.next, state.seconds = document["next"], document["seconds"]
        state.counts = Counter(document["counts"])
        state.findings = [Finding(*found) for found in document["findings"]]
        return state

    def save(self, path: Path) -> None:
        staged = path.with_suffix(".new")
        staged.write_text(json.dumps(vars(self), indent=1) + "\n")
        staged.replace(path)


class Stopped(BaseException):
    """The time is up, or the user has interrupted."""


@contextmanager
def stopping_by_signals(seconds: float | None) -> Iterator[None]:
    """Raise Stopped once on SIGINT, SIGTERM and at the end of the time."""
    numbers = (signal.SIGALRM, signal.SIGINT, signal.SIGTERM)

    def stop(number: int, _: object) -> None:
        for each in numbers:  # not SIG_IGN, which children would inherit
            signal.signal(each, lambda *_: None)
        raise Stopped(signal.Signals(number).name)

    before = [signal.signal(number, stop) for number in numbers]
    if seconds is not None:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def chance_of(name: str, seed: int, number: int) -> random.Random:
    """The random numbers of a round. Equal in every process and version of Python."""
    return random.Random(f"{name} {seed} {number}")


def run(name: str, campaign: Campaign, state: State, limits: Limits, kept: Path) -> int:
    """Run rounds until a limit. Returns the exit status: 1 if there are findings, now or before.

    `kept` is a directory: it gets `state.json`, and the files of each finding in `findings/`.
    """
    kept.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="lamina-campaign-"))
    began, before = time.monotonic(), state.seconds
    last = None if limits.rounds is None else state.next + limits.rounds

    def play_all(play: Callable[[Round], None]) -> None:
        numbers = iter(lambda: state.next, last) if limits.only is None else [limits.only]
        reported = began
        for number in numbers:
            _play(name, play, state, number, _made(work / "round"), kept)
            state.seconds = before + time.monotonic() - began
            if limits.only is None:
                state.next = number + 1
                state.save(kept / "state.json")
            if time.monotonic() - reported > _REPORT_EVERY:
                reported = time.monotonic()
                print(f"{name}: {_told(state)}", flush=True)

    try:
        with (
            stopping_by_signals(limits.seconds),
            campaign.open(_made(work / "shared"), state.seed) as play,
        ):
            try:
                play_all(play)
            # errors at the end of the shared resources are still reported
            except Stopped as stopped:
                print(f"{name}: stopped by {stopped}")
    except Stopped as stopped:
        print(f"{name}: stopped by {stopped} before its first round")
    except Exception as error:
        _find(name, state, state.next, error, work / "shared", kept)
    finally:
        clear(work)
    if limits.only is None:
        state.save(kept / "state.json")
    print(f"{name}: seed {state.seed}, {_told(state)}")
    for found in state.findings:
        print(f"  round {found.round}: {found.what.splitlines()[0]}  ({found.evidence})")
    return int(bool(state.findings))


def _play(
    name: str,
    play: Callable[[Round], None],
    state: State,
    number: int,
    folder: Path,
    kept: Path,
) -> None:
    """Run one round, and keep its results."""
    now = Round(number, chance_of(name, state.seed, number), folder)
    try:
        play(now)
    except Exception as error:
        _find(name, state, number, error, folder, kept)
    finally:
        clear(folder)
    state.counts["rounds"] += 1
    state.counts.update(now.counts)


def _find(name: str, state: State, number: int, error: Exception, folder: Path, kept: Path) -> None:
    """Record a finding, keep its directory, and print it."""
    what = str(error).strip() or type(error).__name__
    if not isinstance(error, AssertionError):
        what = f"{type(error).__name__}: {what}"
    evidence = kept / "findings" / f"{state.seed}-{number}"
    _keep(folder, evidence, "".join(traceback.format_exception(error)))
    state.findings.append(Finding(number, what, str(evidence)))
    print(f"FINDING {name} --seed {state.seed} --round {number}\n{what}\n  kept: {evidence}")
    sys.stdout.flush()


def _keep(folder: Path, evidence: Path, text: str) -> None:
    subprocess.run(["rm", "-rf", str(evidence)], check=True)
    evidence.parent.mkdir(parents=True, exist_ok=True)
    # Without special files and mounts: the rest is copied like `cp -a`.
    subprocess.run(["cp", "-ax", str(folder), str(evidence)], check=False, capture_output=True)
    evidence.mkdir(exist_ok=True)
    (evidence / "finding.txt").write_text(text)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _told(state: State) -> str:
    counts = ", ".join(f"{count} {what}" for what, count in sorted(state.counts.items()))
    found = len(state.findings)
    return f"{state.seconds / 60:.1f} min: {counts or 'nothing yet'}; {found} findings"


def new_seed() -> int:
    return int.from_bytes(os.urandom(4), "big")
