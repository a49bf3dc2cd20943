"""Keys of results, and which of them are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lamina.stores.results import KeyRow, ResultTable
from lamina.stores.snapshots import SnapshotStore
from lamina.stores.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lamina.stores.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "store")) as store:
        yield store


def keys(store: Store) -> set[str]:
    return {row[0] for row in store.database.rows("SELECT id FROM cache_keys")}


def key(name: str, *inputs: str) -> KeyRow:
    return KeyRow(name, f"digest of {name}", "\n".join(f"{part} 0 " for part in inputs))


def test_keys_that_lead_to_results_stay_with_all_that_they_are_made_of(store: Store) -> None:
    table = ResultTable(store.database)
    snapshots = SnapshotStore(store)
    directory = snapshots.stage().path
    state = snapshots.add(None, directory=directory)
    gone = snapshots.add(None, directory=directory)
    table.save([key("source")], [gone])
    table.save([key("lost", "source")], [gone])
    # A copy: found by its content, to which an alias by its definition refers.
    noted = {"content": [key("content")]}
    table.save(
        [key("copy", "content"), key("fast", "source")], [state], lambda name: noted.get(name, [])
    )
    table.save([key("nothing")], [None])
    table.remove(gone)
    table.sweep(everything=False)
    assert keys(store) == {"source", "copy", "fast", "content", "nothing"}
    assert table.canonical_key("fast") == "copy"
    assert table.find("copy", 0) == (True, state)
    assert table.find("nothing", 0) == (True, None)
    table.remove(state)
    table.sweep(everything=False)
    assert keys(store) == {"nothing"}
    assert table.canonical_key("fast") is None
    table.sweep(everything=True)
    assert keys(store) == set()


def test_a_running_build_records_pruned_results_again(store: Store) -> None:
    table = ResultTable(store.database)
    noted = {name: [key(name, *parts)] for name, *parts in (("a",), ("b", "a"), ("c", "b"))}
    for rows in noted.values():
        table.add_aliases(rows)
    table.sweep(everything=False)
    assert keys(store) == set()
    table.save([key("d", "c")], [None], lambda name: noted.get(name, []))
    assert keys(store) == {"a", "b", "c", "d"}
    table.sweep(everything=False)
    assert keys(store) == {"a", "b", "c", "d"}


def test_a_hundred_thousand_keys(store: Store) -> None:
    table = ResultTable(store.database)
    rows = [key("0"), *(key(str(n), str(n - 1)) for n in range(1, 100_000))]
    table.add_aliases(rows[:1])
    with store.database.write():
        for start in range(0, len(rows), 1000):
            for row in rows[start : start + 1000]:
                table.add_aliases([row])
        table.save([key("50000", "49999")], [None])
    table.sweep(everything=False)  # all below the one that has a result
    assert len(keys(store)) == 50_001
    table.sweep(everything=True)
    assert keys(store) == set()
