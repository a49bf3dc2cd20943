"""The corpus: each case is built by the real command, and compared completely."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.corpus.corpus_case import read_case
from tests.corpus.corpus_run import forked_lamina, open_bench, run_case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.corpus.corpus_run import Bench

FOLDER = Path(__file__).parent / "cases"
NAMES = sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.case"))
OUTCOMES = ("error", "tree", "config", "history", "checks")

pytestmark = pytest.mark.skipif(
    not os.path.exists("/bin/busybox") or not shutil.which("crun"),
    reason="needs busybox and crun",
)


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = open_bench(tmp_path_factory.mktemp("corpus"))
    yield bench
    bench.close()


@pytest.fixture(scope="session")
def build(bench: Bench) -> Callable[[Sequence[str], Path, Path], int]:
    return forked_lamina(bench.folder / "store")


@pytest.mark.parametrize("name", NAMES)
def test_case(name: str, bench: Bench, build: Callable[[Sequence[str], Path, Path], int]) -> None:
    case = read_case((FOLDER / f"{name}.case").read_text())
    found = run_case(case, bench, build)
    wanted = {section: case.sections[section] for section in OUTCOMES if section in case.sections}
    assert wanted, "the case says nothing of what must come of it"
    for section in OUTCOMES:
        assert found.get(section, "") == wanted.get(section, ""), section
