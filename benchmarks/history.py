"""`lamina history ls` over 10,000 records."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.harness import Lamina, Row, repeat, row
from lamina.api.history import SCHEMA, BuildHistoryRecord
from lamina.api.timestamp import at_seconds
from lamina.records.table import name_of, target_of
from lamina.stores.store import open_store
from lamina.wire.protobuf import encode

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.harness import Run

_COUNT = 10_000


def write_records(root: Path, count: int) -> None:
    """A store with a number of records of builds that have ended."""
    now = time.time()
    with open_store(str(root)) as store, store.database.write() as connection:
        for number in range(count):
            began = now - 60.0 * number
            record = BuildHistoryRecord(
                f"{number:032x}",
                "dockerfile.v0",
                tuple((f"build-arg:ARGUMENT_{n}", "value" * 5) for n in range(10)),
                created_at=at_seconds(began),
                completed_at=at_seconds(began + 10),
                num_total_steps=12,
                num_completed_steps=12,
                context_path=f"/src/project-{number % 50}",
            )
            connection.execute(
                "INSERT INTO builds (ref, created, completed, status, name, target, record)"
                " VALUES (?, ?, ?, 'completed', ?, ?, ?)",
                (
                    record.ref,
                    began,
                    began + 10,
                    name_of(record),
                    target_of(record),
                    encode(record, SCHEMA),
                ),
            )


def _list_records(lamina: Lamina, _: int) -> Run:
    return lamina("history", "ls")


def measure(work: Path) -> list[Row]:
    """The time of the whole command, with 10,000 records and with one: most of the latter is
    Python's."""
    rows = []
    for count in (1, _COUNT):
        lamina = Lamina(work / f"store-{count}")
        write_records(lamina.root, count)
        runs = repeat(7, partial(_list_records, lamina))
        rows.append(row(f"history ls, {count:,} record{'s' if count > 1 else ''}", runs, 0.20))
    return rows
