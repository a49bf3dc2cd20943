"""The leases of a process, and when they end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.base.errors import Exhausted
from lamina.stores.database import Database
from lamina.stores.store import open_store

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

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


def test_leases_whose_deletion_cannot_be_committed_are_deleted_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Database.write

    @contextmanager
    def full(self: Database) -> Iterator[sqlite3.Connection]:
        with write(self) as connection:
            yield connection
            raise Exhausted("database or disk is full")  # rolls back, like a failed commit

    with open_store(str(tmp_path / "store")) as store:
        with store.database.write() as connection:
            connection.execute(
                "INSERT INTO snapshots (id, created, used, boot) VALUES (1, 0, 0, '')"
            )
        with store.shared():
            assert store.leases.hold(1)
            monkeypatch.setattr(Database, "write", full)
        monkeypatch.setattr(Database, "write", write)
        assert store.database.rows("SELECT snapshot FROM leases") == [(1,)]
        with store.making_room():
            assert store.database.rows("SELECT snapshot FROM leases") == []
