"""`lamina plan` compared with the following build, for Dockerfiles of the corpus.

No step that the plan calls cached runs, and no step that it calls due is found in the cache. By
default some of the cases are built; LAMINA_PLAN_CASES=all builds all of them.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.corpus.corpus_case import read_case
from tests.corpus.corpus_run import forked_lamina, open_bench, run_case
from tests.corpus.test_corpus import FOLDER, NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.corpus.corpus_run import Bench

CASES = NAMES if os.environ.get("LAMINA_PLAN_CASES") == "all" else NAMES[::24]

pytestmark = pytest.mark.skipif(
    not os.path.exists("/bin/busybox") or not shutil.which("crun"),
    reason="needs busybox and crun",
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = open_bench(tmp_path_factory.mktemp("plans"))
    yield bench
    bench.close()


@pytest.fixture(scope="module")
def commands(bench: Bench) -> list[Callable[[Sequence[str], Path, Path], int]]:
    store = bench.folder / "store"
    return [forked_lamina(store, "plan"), forked_lamina(store)]


@pytest.mark.parametrize("name", CASES)
def test_a_plan_is_what_happens(
    name: str, bench: Bench, commands: list[Callable[[Sequence[str], Path, Path], int]]
) -> None:
    plan, build = commands

    def planned_first(flags: Sequence[str], folder: Path, log: Path) -> int:
        if any(flag.startswith(("--call", "--check")) for flag in flags):
            pytest.skip("it builds nothing")
        output = folder.parent / "plan"
        steps: dict[str, str] = {}
        planned = plan(["--format=json", *flags], folder, output) == 0
        if planned:
            steps = plans(output)
        status = build(flags, folder, log)
        assert planned or status != 0
        compare(steps, log)
        if status == 0 and plan(["--format=json", *flags], folder, output) == 0:
            steps = plans(output)
            build(flags, folder, log)
            compare(steps, log)
        return status

    run_case(read_case((FOLDER / f"{name}.case").read_text()), bench, planned_first)


def plans(output: Path) -> dict[str, str]:
    text = output.read_text()
    document: dict[str, Any] = json.loads(text[text.index("{\n") :])
    return {step["digest"]: step["plan"] for step in document["steps"]}


def compare(steps: dict[str, str], log: Path) -> None:
    """Compare a plan with a log of `--progress=rawjson`."""
    vertices: dict[str, dict[str, Any]] = {}
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("{"):
            for vertex in json.loads(line).get("vertexes") or ():
                vertices[vertex["digest"]] = vertex
    for digest, plan in steps.items():
        vertex = vertices.get(digest)
        if vertex is None or "started" not in vertex:
            continue
        if plan == "cached":
            assert vertex.get("cached"), f"{vertex['name']} ran"
        elif plan == "run":
            assert not vertex.get("cached"), f"{vertex['name']} was cached"
