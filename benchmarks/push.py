"""Building and pushing one layer of 200 MB, half random and half text, to a registry."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

from benchmarks.harness import Lamina, Row, Run, registry, repeat, row

if TYPE_CHECKING:
    from pathlib import Path

_HALF = 100_000_000
_LIMITS = {"gzip": 1.5, "zstd": 1.5}


def measure(work: Path) -> list[Row]:
    """A build from an empty store: the context is read, packed and sent."""
    context = work / "context"
    context.mkdir()
    source = random.Random(1)
    words = [source.randbytes(source.randint(2, 7)).hex() for _ in range(5000)]
    text = " ".join(source.choices(words, k=_HALF // 8)).encode()
    (context / "text").write_bytes((text * 2)[:_HALF])
    (context / "random").write_bytes(source.randbytes(_HALF))
    (context / "Dockerfile").write_text("FROM scratch\nCOPY text random /\n")
    rows = []
    for kind, limit in _LIMITS.items():

        def once(number: int, kind: str = kind) -> Run:
            # A separate registry, in which no blob can be found or mounted.
            folder = work / f"{kind}{number}"
            folder.mkdir()
            with registry(folder) as address:
                output = f"type=registry,name={address}/large:1,compression={kind}"
                run = Lamina(folder / "store").build(context, "-o", output)
            shutil.rmtree(folder)
            return run

        rows.append(row(f"build and push 200 MB as {kind}", repeat(5, once), limit))
    return rows
