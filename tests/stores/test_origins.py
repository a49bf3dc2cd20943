"""Origins of layers' blobs: order, failures, several processes, old databases."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from lamina.base.digest import Digest, digest_of
from lamina.stores import database
from lamina.stores.database import Database
from lamina.stores.origins import Origin, OriginKind, OriginTable, parse_origin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOB = digest_of(b"blob")
IMAGE = Origin(OriginKind.IMAGE, "host.example/team/base:1")
OTHER = Origin(OriginKind.IMAGE, "other.example/base:1")
LAYOUT = Origin(OriginKind.LAYOUT, "/srv/layout")


@pytest.fixture
def meta(tmp_path: Path) -> Iterator[Database]:
    opened = Database(str(tmp_path / "meta.db"))
    yield opened
    opened.close()


@pytest.mark.parametrize("kind", OriginKind)
def test_text_can_be_read_back(kind: OriginKind) -> None:
    origin = Origin(kind, "host.example:5000/a/b:1@sha256:" + "a" * 64)
    assert parse_origin(origin.text) == origin


@pytest.mark.parametrize("text", ["", "image", "folder:/x", "image:/srv/layout:1", "cache:UPPER"])
def test_text_that_is_no_origin(text: str) -> None:
    assert parse_origin(text) is None


def test_only_registries_have_references() -> None:
    assert IMAGE.reference == IMAGE.location
    assert LAYOUT.reference == ""


def test_the_origin_resolved_last_is_first(meta: Database) -> None:
    table = OriginTable(meta)
    for origin in (IMAGE, LAYOUT, OTHER, IMAGE):
        table.add([BLOB], origin)
    assert list(table.of(BLOB)) == [IMAGE, OTHER, LAYOUT]
    assert list(table.of(digest_of(b"another"))) == []


def test_other_processes_see_origins(meta: Database) -> None:
    OriginTable(meta).add([BLOB], LAYOUT)
    OriginTable(meta).add([BLOB], IMAGE)
    assert list(OriginTable(meta).of(BLOB)) == [IMAGE, LAYOUT]


def test_a_failed_origin_is_left_out_until_it_is_resolved_again(meta: Database) -> None:
    table = OriginTable(meta)
    table.add([BLOB], LAYOUT)
    table.add([BLOB], IMAGE)
    table.remove(BLOB, IMAGE, for_good=False)
    assert list(table.of(BLOB)) == [LAYOUT]
    assert list(OriginTable(meta).of(BLOB)) == [IMAGE, LAYOUT], "another process may reach it"
    table.remove(BLOB, LAYOUT, for_good=True)
    assert list(table.of(BLOB)) == []
    assert list(OriginTable(meta).of(BLOB)) == [IMAGE]
    table.add([BLOB], IMAGE)
    assert list(table.of(BLOB)) == [IMAGE]


def test_nothing_is_written_when_the_first_origin_is_resolved_again(meta: Database) -> None:
    OriginTable(meta).add([BLOB], IMAGE)
    (written,) = meta.row("SELECT resolved FROM layer_origins") or ()
    OriginTable(meta).add([BLOB], IMAGE)
    assert meta.row("SELECT resolved FROM layer_origins") == (written,)


def test_origins_of_older_databases_get_types(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    for script in (database._SCHEMA, database._HISTORY, database._MOUNT_CACHES):
        connection.executescript(script)
    connection.execute("ALTER TABLE layers ADD COLUMN origin TEXT NOT NULL DEFAULT ''")
    connection.execute("INSERT INTO snapshots (id, created, used, boot) VALUES (1, 0, 0, '')")
    old = {
        "host.example/team/base:1": IMAGE,
        "cache:host.example/cache:1": Origin(OriginKind.CACHE, "host.example/cache:1"),
        "folder:/srv/layout": LAYOUT,
        "/srv/layout:1@sha256:" + "a" * 64: None,  # the error of earlier versions
        "lent:local:/home": None,
        "": None,
    }
    for number, origin in enumerate(old):
        connection.execute(
            "INSERT INTO layers VALUES (1, 'type', ?, 1, 'sha256:d', '', ?)",
            (f"sha256:{number:064x}", origin),
        )
    connection.execute("INSERT INTO mount_places VALUES ('m', 'folder:/srv/cache', x'', 1, 0)")
    connection.execute("PRAGMA user_version = 4")
    connection.commit()
    connection.close()

    opened = Database(str(path))
    table = OriginTable(opened)
    for number, wanted in enumerate(old.values()):
        found = list(table.of(Digest(f"sha256:{number:064x}")))
        assert found == ([] if wanted is None else [wanted])
    assert opened.row("SELECT place FROM mount_places") == ("layout:/srv/cache",)
    opened.close()
