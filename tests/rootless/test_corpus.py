"""A sample of the corpus, built by an ordinary user: every result equals that of root."""

from __future__ import annotations

import encodings
import importlib
import os
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.corpus.corpus_case import read_case
from tests.corpus.corpus_run import forked_lamina, open_bench, run_case

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.ordinary_user import OrdinaryUser

_CASES = Path(__file__).parents[1] / "corpus" / "cases"
_OUTCOMES = ("error", "tree", "config", "history", "checks")
_EVERY = 8
_NOT_POSSIBLE = {"copy/device"}  # its step makes a device node


def test_a_sample_of_the_corpus(ranged: OrdinaryUser) -> None:
    # What the interpreter imports later may be in a directory of root.
    for module in pkgutil.iter_modules(encodings.__path__, "encodings."):
        if module.name not in ("encodings.mbcs", "encodings.oem"):
            importlib.import_module(module.name)
    folder = ranged.home / "corpus"
    folder.mkdir()
    bench = open_bench(folder)
    ranged.own(folder)
    forked = forked_lamina(ranged.home / "store")

    def build(flags: Sequence[str], context: Path, log: Path) -> int:
        ranged.own(folder / "case")
        child = os.fork()
        if not child:
            ranged.become()
            os._exit(forked(flags, context, log))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    names = sorted(str(path.relative_to(_CASES).with_suffix("")) for path in _CASES.rglob("*.case"))
    try:
        for name in names[::_EVERY]:
            if name in _NOT_POSSIBLE:
                continue
            case = read_case((_CASES / f"{name}.case").read_text())
            found = run_case(case, bench, build)
            for section in _OUTCOMES:
                assert found.get(section, "") == case.sections.get(section, ""), (name, section)
    finally:
        bench.close()
