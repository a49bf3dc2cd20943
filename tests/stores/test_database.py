from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from lamina.base.errors import Corrupt
from lamina.stores import database
from lamina.stores.database import SCHEMA_VERSION, Database

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
