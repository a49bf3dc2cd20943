"""A short, reproducible run of each campaign; `scripts/campaign` runs longer."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.campaigns import cache, full_disk, growth, kill
from tests.campaigns.main import load
from tests.campaigns.runner import Limits, State, run

if TYPE_CHECKING:
    from pathlib import Path

TOOLS = ("crun", "docker-registry", "skopeo", "umoci", "mkfs.ext4", "git")

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)),
    reason=f"needs {', '.join(TOOLS)}",
)

# Few rounds, and smaller ones if a round is long.
SHORT = {
    "cache": (cache.campaign(steps=2), 3),
    "kill": (kill.campaign(kills=1), 2),
    "pairs": (load("pairs"), 4),
    "hostile": (load("hostile"), 10),
    "growth": (growth.campaign(builds=4), 6),
    "full-disk": (full_disk.campaign(operations=2), 2),
}
SEED = 11


@pytest.mark.parametrize("name", list(SHORT))
def test_a_few_rounds(name: str, tmp_path: Path) -> None:
    campaign, rounds = SHORT[name]
    state = State(SEED)
    status = run(name, campaign, state, Limits(rounds=rounds), tmp_path)
    assert [found.what for found in state.findings] == []
    assert (status, state.counts["rounds"]) == (0, rounds)
