"""Reads rpm's database in SQLite's format, in memory and without rpm.

A row of the table `Packages` holds a package's header: the numbers of index entries and of bytes
of data (big-endian), the index (tag, type, offset, count), the data.
"""

from __future__ import annotations

import sqlite3
import struct
from typing import TYPE_CHECKING

from lamina.imagediff.files import Package

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME, _VERSION, _RELEASE, _EPOCH = 1000, 1001, 1002, 1003
_INT32, _STRING = 4, 6
_STEPS = 200
"""How often SQLite may report that it has executed `_PERIOD` instructions."""
_PERIOD = 100_000
_JOURNAL = slice(18, 20)
"""The bytes of a database that show whether it has a write-ahead log."""


def rpm_packages(data: bytes) -> Iterator[Package]:
    """The packages of a database. Raises ValueError if it is malformed."""
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
            raise ValueError("rpmdb.sqlite has no table Packages")
        found = [_package(blob) for (blob,) in connection.execute("SELECT blob FROM Packages")]
    except sqlite3.Error as error:
        raise ValueError(f"rpmdb.sqlite is damaged: {error}") from error
    finally:
        connection.close()
    return iter(found)


def _package(blob: object) -> Package:
    if not isinstance(blob, bytes) or len(blob) < 8:
        raise ValueError("rpmdb.sqlite contains a malformed header")
    count, length = struct.unpack_from(">II", blob)
    start = 8 + 16 * count
    if start + length > len(blob):
        raise ValueError("rpmdb.sqlite contains a truncated header")
    data = blob[start : start + length]
    texts: dict[int, str] = {}
    epoch = 0
    for tag, kind, offset, _ in struct.iter_unpack(">IIII", blob[8:start]):
        if kind == _STRING and tag in (_NAME, _VERSION, _RELEASE):
            texts[tag] = data[offset:].split(b"\0", 1)[0].decode("utf-8", "replace")
        elif kind == _INT32 and tag == _EPOCH and offset + 4 <= length:
            (epoch,) = struct.unpack_from(">I", data, offset)
    version = f"{texts.get(_VERSION, '')}-{texts.get(_RELEASE, '')}"
    return Package("rpm", texts.get(_NAME, ""), f"{epoch}:{version}" if epoch else version)
