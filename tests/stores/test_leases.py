"""What a process uses, and when it stops using it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.stores.store import open_store

if TYPE_CHECKING:
    from pathlib import Path

_FULL = (
    "CREATE TRIGGER full BEFORE DELETE ON leases"
    " BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
)


def test_a_full_disk_neither_fails_a_build_that_ends_nor_keeps_its_leases(tmp_path: Path) -> None:
    with open_store(str(tmp_path / "store")) as store:
        with store.database.write() as connection:
            connection.execute(
                "INSERT INTO snapshots (id, created, used, boot) VALUES (1, 0, 0, '')"
            )
        with store.shared():
            assert store.leases.hold(1)
            with store.database.write() as connection:
                connection.execute(_FULL)
        assert store.database.rows("SELECT snapshot FROM leases") == [(1,)]
        with store.making_room():
            assert store.database.rows("SELECT snapshot FROM leases") == [(1,)], "still full"
        with store.database.write() as connection:
            connection.execute("DROP TRIGGER full")
        with store.making_room():
            assert store.database.rows("SELECT snapshot FROM leases") == []
