"""The chart of the benchmarks matches the table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_chart_is_up_to_date() -> None:
    script = ROOT / "scripts/benchmark-chart"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_row_has_two_bars() -> None:
    chart = (ROOT / "docs/benchmarks.svg").read_text()
    rows = chart.count('class="label"')
    assert rows > 5
    legend = 1
    for side in ("ours", "theirs"):
        assert chart.count(f'class="{side}"') == rows + legend
