"""COPY of 20,000 files."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from benchmarks.harness import Lamina, Row, Run, repeat, row, write_context

if TYPE_CHECKING:
    from pathlib import Path

_FOLDERS, _FILES = 200, 100
_SIZE = 11_600


def write_large(folder: Path) -> Path:
    """20,000 different files of 11.6 kB."""
    context = write_context(folder, "FROM base\nCOPY app /app\n")
    block = os.urandom(_SIZE // 2).hex().encode()
    for number in range(_FOLDERS):
        path = context / "app" / f"d{number}"
        path.mkdir(parents=True)
        for file in range(_FILES):
            at = (number * _FILES + file) % _SIZE
            (path / f"f{file}").write_bytes(block[at:] + block[:at])
    return context


def measure(work: Path) -> list[Row]:
    """Cold, with one file changed, and unchanged; into the local store."""
    context = write_large(work / "context")

    def cold(number: int) -> Run:
        store = work / f"cold{number}"
        result = Lamina(store).build(context, "-t", "large")
        shutil.rmtree(store)
        return result

    lamina = Lamina(work / "store")
    lamina.build(context, "-t", "large")

    def changed(number: int) -> Run:
        (context / "app/d7/f7").write_text(f"edit {number}")
        return lamina.build(context, "-t", "large")

    return [
        row("20,000 files COPY, cold", repeat(3, cold), 6),
        row("20,000 files COPY, one changed", repeat(5, changed), 2),
        row(
            "20,000 files COPY, unchanged",
            repeat(7, lambda _: lamina.build(context, "-t", "large")),
            0.5,
        ),
    ]
