"""Rows that a power cut may have damaged are deleted; synced ones stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.stores.snapshots import SnapshotStore
from lamina.stores.store import open_store

if TYPE_CHECKING:
    from pathlib import Path


def ids(root: Path) -> list[int]:
    with open_store(str(root)) as store:
        return [row[0] for row in store.database.rows("SELECT id FROM snapshots ORDER BY id")]


def test_rows_of_an_earlier_boot_that_never_settled_are_dropped(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        snapshots = SnapshotStore(store)
        kept = snapshots.commit(snapshots.stage(), None)
        lost = snapshots.commit(snapshots.stage(), kept)
        with store.database.write() as connection:
            connection.execute("UPDATE snapshots SET boot = 'earlier'")
            connection.execute("UPDATE snapshots SET settled = 1 WHERE id = ?", [kept])
            connection.execute(
                "INSERT INTO results (key, output, snapshot) VALUES ('k', 0, ?)", [lost]
            )
    assert ids(tmp_path) == [kept]
    with open_store(str(tmp_path)) as store:
        assert store.database.rows("SELECT * FROM results") == []


def test_rows_of_this_boot_settle_after_a_while(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        snapshots = SnapshotStore(store)
        old = snapshots.commit(snapshots.stage(), None)
        with store.database.write() as connection:
            connection.execute("UPDATE snapshots SET created = created - 100")
        new = snapshots.commit(snapshots.stage(), None)
    assert ids(tmp_path) == [old, new]
    with open_store(str(tmp_path)) as store:
        settled = store.database.rows("SELECT settled FROM snapshots WHERE id = ?", old)
    assert settled == [(1,)]


def test_the_folder_of_a_dead_process_is_removed(tmp_path: Path) -> None:
    with open_store(str(tmp_path)):
        pass
    dead = tmp_path / "tmp" / "1-dead"
    (dead / "half-made").mkdir(parents=True)
    (tmp_path / "tmp" / "1-dead.lock").touch()
    with open_store(str(tmp_path)):
        assert not dead.exists()
