"""rpm's database in SQLite's format, in memory and without rpm.

A row of the table `Packages` holds a package's header.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from lamina.sbom.parsers.rpm_header import read_header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamina.sbom.package import Package

_NAME = "rpmdb.sqlite"
_STEPS = 200
"""How often SQLite may report that it has executed `_PERIOD` instructions."""
_PERIOD = 100_000
_JOURNAL = slice(18, 20)
"""The bytes of a database that show whether it has a write-ahead log."""


def read_database(data: bytes) -> Iterator[Package]:
    """The packages of a database. Raises ValueError if it is malformed."""
    if not data:
        raise ValueError(f"{_NAME} is empty")
    database = bytearray(data)
    if len(database) > _JOURNAL.stop:
        database[_JOURNAL] = b"\1\1"  # the log is another file
    steps = 0

    def too_long() -> bool:
        nonlocal steps
        steps += 1
        return steps > _STEPS

    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(bytes(database))
        connection.set_progress_handler(too_long, _PERIOD)
        connection.execute("PRAGMA trusted_schema = OFF")
        kinds = connection.execute("SELECT type FROM sqlite_master WHERE name = 'Packages'")
        if kinds.fetchall() != [("table",)]:
            raise ValueError(f"{_NAME} has no table Packages")
        rows = connection.execute("SELECT blob FROM Packages")
        found = [read_header(blob, _NAME) for (blob,) in rows]
    except sqlite3.Error as error:
        raise ValueError(f"{_NAME} is damaged: {error}") from error
    finally:
        connection.close()
    return iter(found)
