"""A cache mount of about 500 MB, exported to a registry and imported: complete, and after a small
edit.

It is like a Go build cache: many files named by digests, in 256 directories, of a few kB to a few
MB.
"""

from __future__ import annotations

import random
import re
import shutil
from typing import TYPE_CHECKING

from benchmarks.harness import Lamina, Row, Run, registry, row, write_context

if TYPE_CHECKING:
    from pathlib import Path

_SIZE = 500_000_000
_STEP = (
    "COPY edit /edit\n"
    "RUN --mount=type=cache,target=/cache,id=objects --mount=type=bind,source=made,target=/made"
    " if [ ! -e /cache/00 ]; then cp -a /made/. /cache/; fi; cp -a /edit/. /cache/\n"
)


def measure(work: Path) -> list[Row]:
    """Medians of three; the last row is the part that the second export sent, in per cent."""
    context = write_context(work / "context", _STEP)
    _fill(context / "made", _SIZE, 1)
    (context / "edit").mkdir()
    runs: dict[str, list[Run]] = {"first": [], "second": [], "import": [], "again": []}
    sent: list[float] = []
    here = Lamina(work / "here")
    here.build(context)
    for number in range(3):
        folder = work / f"registry{number}"
        folder.mkdir()
        with registry(folder) as address:
            place = f"type=registry,ref={address}/mounts"
            first = here("cache", "export", "objects", "--to", place)
            _fill(context / "edit", _SIZE // 100, 100 + number)
            here.build(context)
            second = here("cache", "export", "objects", "--to", place)
            sent.append(100 * _new(second) / _new(first))
            there = Lamina(work / f"there{number}")
            runs["import"].append(there("cache", "import", "objects", "--from", place))
            runs["again"].append(there("cache", "export", "objects", "--to", place))
            runs["first"].append(first)
            runs["second"].append(second)
        shutil.rmtree(folder)
        shutil.rmtree(work / f"there{number}")
    middle = sorted(sent)[1]
    return [
        row("export a mount of 500 MB, first time", runs["first"], 10),
        row("the same after 1 % more", runs["second"], 3),
        row("the same from where it was imported, unchanged", runs["again"], 3),
        row("import it to an empty store", runs["import"], 10),
        Row("sent by the second export, of the first", middle, 5, tuple(sent), 0, "%"),
    ]


def _new(run: Run) -> float:
    value, unit = re.findall(r"objects: ([0-9.]+)([kMG]?B) new", run.said)[0]
    return float(value) * {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]


def _fill(folder: Path, size: int, seed: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    source = random.Random(seed)
    words = [source.randbytes(source.randint(3, 9)) for _ in range(4000)]
    while size > 0:
        name = source.randbytes(32).hex()
        length = min(size, int(source.lognormvariate(10.3, 1.5)) + 100)
        data = b"".join(source.choices(words, k=length // 6 + 1))[:length]
        path = folder / name[:2]
        path.mkdir(parents=True, exist_ok=True)
        (path / f"{name}-d").write_bytes(data)
        (path / f"{name}-a").write_text(f"v1 {name} {length} {seed}\n")
        size -= length
