from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import Corrupt
from lamina.stores import database
from lamina.stores.database import SCHEMA_VERSION, Database
from lamina.stores.store import open_store
from tests.small_disks import small_disk

if TYPE_CHECKING:
    from pathlib import Path


def columns(path: Path) -> set[tuple[str, str]]:
    connection = sqlite3.connect(path)
    found = connection.execute(
        "SELECT t.name, c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c"
    ).fetchall()
    connection.close()
    return set(found)


def test_databases_of_older_laminas_are_brought_along(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    connection = sqlite3.connect(old)
    connection.executescript(database._SCHEMA)
    connection.execute("ALTER TABLE snapshots DROP COLUMN made")
    connection.execute("ALTER TABLE layers ADD COLUMN origin TEXT NOT NULL DEFAULT ''")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    Database(str(old)).close()
    Database(str(tmp_path / "new.db")).close()
    assert columns(old) == columns(tmp_path / "new.db")
    Database(str(old)).close()


def test_a_database_of_a_newer_lamina_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "meta.db"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(Corrupt, match="newer lamina"):
        Database(str(path))


def test_no_hole_is_left_in_the_index_where_blocks_are_smaller_than_pages(tmp_path: Path) -> None:
    """A write to a hole of a mapped file ends the process with SIGBUS when the disk is full."""
    with small_disk("ext4", 32 << 20, tmp_path) as disk:  # mkfs takes blocks of 1 KiB for it
        assert os.statvfs(disk).f_bsize == 1024
        opened = Database(str(disk / "meta.db"))
        status = os.stat(disk / "meta.db-shm")
        assert status.st_blocks * 512 >= status.st_size == 32 << 10
        with opened.write() as connection:
            connection.execute(
                "INSERT INTO snapshots (id, created, used, boot) VALUES (1, 0, 0, '')"
            )
        opened.close()
        again = Database(str(disk / "meta.db"))
        assert again.row("SELECT id FROM snapshots") == (1,)
        again.close()


@pytest.mark.parametrize("damage", ["text", "truncated", "random"])
def test_a_damaged_database_is_named_with_a_hint(tmp_path: Path, damage: str) -> None:
    root = tmp_path / "store"
    with open_store(str(root)) as store, store.database.write() as connection:
        connection.execute(
            "INSERT INTO images VALUES (CAST(x'ff41' AS TEXT), 'm', 'd', 1, 1, 'b', 1)"
        )
    path = root / "meta.db"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:100])
    elif damage == "random":
        path.write_bytes(b"\x00\xff" * 4096)
    with (
        pytest.raises(Corrupt, match="the store's database") as caught,
        open_store(str(root)) as store,
    ):
        store.database.rows("SELECT name FROM images")
    assert "move the store's directory away" in caught.value.hint
