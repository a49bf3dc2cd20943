"""Runs the benchmarks and prints a table: `python benchmarks/run.py [name…]`."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import Row, show

NAMES = (
    *("cached", "run_step", "large_context", "pull", "push", "mounts"),
    *("fresh_machine", "daemon", "history"),
)


def main(names: list[str]) -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed lamina is compiled
    rows: list[Row] = []
    for name in names or NAMES:
        with tempfile.TemporaryDirectory(prefix="lamina-bench-", dir="/var/tmp") as folder:
            rows += importlib.import_module(f"benchmarks.{name}").measure(Path(folder))
    show(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
