"""Running campaigns: reproducible rounds, continuation, and findings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from tests.campaigns.machine import mounts_below, processes_with, soon
from tests.campaigns.runner import Campaign, Limits, State, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.campaigns.runner import Round

SCRIPT = str(Path(__file__).parents[2] / "scripts" / "campaign")


class Noting:
    """A campaign that records the rounds and their random numbers; one of them fails."""

    def __init__(self, failing: int = -1) -> None:
        self.rounds: list[tuple[int, float]] = []
        self._failing = failing

    def campaign(self) -> Campaign:
        return Campaign(self._open)

    @contextmanager
    def _open(self, folder: Path, seed: int) -> Iterator[Callable[[Round], None]]:
        assert os.listdir(folder) == []
        yield self._play

    def _play(self, now: Round) -> None:
        assert os.listdir(now.folder) == []
        self.rounds.append((now.number, now.chance.random()))
        (now.folder / "file").write_text("evidence")
        now.counts["things"] += 2
        assert now.number != self._failing, "it is that one"


def test_a_round_does_not_depend_on_earlier_rounds(tmp_path: Path) -> None:
    all_of_them, one = Noting(), Noting()
    assert run("x", all_of_them.campaign(), State(5), Limits(rounds=3), tmp_path) == 0
    assert run("x", one.campaign(), State(5), Limits(only=2), tmp_path / "one") == 0
    assert [number for number, _ in all_of_them.rounds] == [0, 1, 2]
    assert one.rounds == all_of_them.rounds[2:]
    assert len({drawn for _, drawn in all_of_them.rounds}) == 3
    other = Noting()
    run("x", other.campaign(), State(6), Limits(rounds=1), tmp_path)
    assert other.rounds[0][1] != all_of_them.rounds[0][1]


def test_an_interrupted_campaign_resumes(tmp_path: Path) -> None:
    first, second = Noting(failing=1), Noting()
    assert run("x", first.campaign(), State(5), Limits(rounds=2), tmp_path) == 1
    state = State.load(tmp_path / "state.json")
    assert (state.seed, state.next) == (5, 2)
    # Findings are kept.
    assert run("x", second.campaign(), state, Limits(rounds=2), tmp_path) == 1
    assert [number for number, _ in second.rounds] == [2, 3]
    kept = json.loads((tmp_path / "state.json").read_text())
    assert kept["counts"] == {"rounds": 4, "things": 8}


def test_a_finding_is_printed_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("x", Noting(failing=1).campaign(), State(5), Limits(rounds=3), tmp_path) == 1
    shown = capsys.readouterr().out
    assert "FINDING x --seed 5 --round 1\nit is that one\n" in shown
    assert "3 rounds, 6 things; 1 findings" in shown
    evidence = tmp_path / "findings" / "5-1"
    assert (evidence / "file").read_text() == "evidence"
    assert "AssertionError: it is that one" in (evidence / "finding.txt").read_text()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose sockets have paths of less than 108 bytes, also in parallel test runs."""
    with TemporaryDirectory(prefix="lamina-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("how", ["time", "SIGTERM"])
def test_a_campaign_stops_on_time_or_signal_and_cleans_up(how: str, short_path: Path) -> None:
    tmp_path = short_path
    limit = "0.1" if how == "time" else "20"
    process = subprocess.Popen(
        [SCRIPT, "full-disk", "--minutes", limit, "--seed", "1", "--keep", str(tmp_path / "kept")],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert soon(lambda: mounts_below(tmp_path) != [])
        if how == "SIGTERM":
            process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, out
    assert f"stopped by {'SIGALRM' if how == 'time' else 'SIGTERM'}" in out
    assert os.listdir(tmp_path) == ["kept"]
    assert not mounts_below(tmp_path)
    assert not processes_with(f"{tmp_path}/lamina-campaign-")
    assert json.loads((tmp_path / "kept/full-disk/state.json").read_text())["findings"] == []


def test_the_script_lists_the_campaigns() -> None:
    done = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, check=True)
    for name in ("cache", "kill", "pairs", "hostile", "growth", "full-disk"):
        assert f"  {name} " in done.stdout
    assert subprocess.run([SCRIPT, "none"], capture_output=True).returncode == 2
