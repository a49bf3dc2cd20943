"""One trivial RUN, and eight concurrent stages."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from typing import TYPE_CHECKING

from benchmarks.harness import Lamina, Row, Run, repeat, row, write_context

if TYPE_CHECKING:
    from pathlib import Path


def measure(work: Path) -> list[Row]:
    """The time of the step, from a plain log, and of the whole process for the stages."""
    lamina = Lamina(work / "store")
    steps = "FROM base\nARG N\nRUN true first $N\nRUN true next $N\n"
    context = write_context(work / "context", steps)
    lamina.build(context)
    steps_seconds = [_step_seconds(lamina, context, number) for number in range(11)]
    first = [Run(seconds["first"], 0) for seconds in steps_seconds]
    following = [Run(seconds["next"], 0) for seconds in steps_seconds]

    stages = "".join(f"FROM base AS s{n}\nARG N\nRUN sleep 1; echo $N > /f{n}\n" for n in range(8))
    copies = "".join(f"COPY --from=s{n} /f{n} /\n" for n in range(8))
    parallel = write_context(work / "parallel", f"{stages}FROM base\n{copies}")
    lamina.build(parallel)
    return [
        row("a process's first trivial RUN, the step", first, 0.030),
        row("its next trivial RUN, the step", following, 0.030),
        row(
            "eight independent 1 s stages",
            repeat(5, lambda n: lamina.build(parallel, "--build-arg", f"N={n}")),
            1.4,
        ),
    ]


def _step_seconds(lamina: Lamina, context: Path, number: int) -> dict[str, float]:
    """The time between each step's start and its end, from `--progress=rawjson`."""
    seconds = {}
    command = [sys.executable, "-m", "lamina", "--root", str(lamina.root), "build"]
    command += ["--progress=rawjson", "--build-arg", f"N={number}", str(context)]
    done = subprocess.run(command, capture_output=True, check=True)
    for line in done.stderr.splitlines():
        for vertex in json.loads(line).get("vertexes", ()):
            if "RUN true" in vertex["name"] and vertex.get("completed"):
                ends = [datetime.fromisoformat(vertex[key]) for key in ("started", "completed")]
                name = "first" if "first" in vertex["name"] else "next"
                seconds[name] = (ends[1] - ends[0]).total_seconds()
    return seconds
