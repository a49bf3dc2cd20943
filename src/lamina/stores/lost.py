"""Snapshots whose files or layers were removed by other programs.

A snapshot that still has one of the two is created again from it. The results of others are
removed, so that their steps run again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina.base.digest import Digest

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from lamina.stores.store import Store

# Layers that were made here and have no origin. Others are fetched from their origins.
_MADE_HERE = "recipe != '' AND NOT EXISTS (SELECT 1 FROM layer_origins o WHERE o.digest = l.digest)"


def forget_directory(store: Store, directory: str) -> set[int]:
    """Record that a directory below `snapshots/` is missing.

    Snapshots with a layer are unpacked again when they are needed. Returns the ids of those without
    one, and of all on top of them: their results are removed.
    """
    with store.database.write() as connection:
        snapshots = _column(connection, "SELECT id FROM snapshots WHERE directory = ?", directory)
        connection.executemany(
            "UPDATE snapshots SET directory = NULL WHERE id = ?",
            [(snapshot,) for snapshot in snapshots],
        )
        for snapshot in snapshots:
            made = f"SELECT digest FROM layers l WHERE snapshot = ? AND {_MADE_HERE}"
            for digest in _column(connection, made, snapshot):
                if not store.blobs.has(Digest(digest)):
                    connection.execute("DELETE FROM layers WHERE digest = ?", (digest,))
        return _forget(connection, snapshots)


def forget_blob(store: Store, digest: Digest) -> set[int]:
    """Record that the blob of a layer is missing.

    Snapshots with files are packed again when a layer is needed. Returns as `forget_directory`.
    """
    with store.database.write() as connection:
        snapshots = _column(connection, "SELECT snapshot FROM layers WHERE digest = ?", digest)
        connection.execute(f"DELETE FROM layers AS l WHERE digest = ? AND {_MADE_HERE}", (digest,))
        return _forget(connection, snapshots)


def lost_blobs(store: Store) -> list[Digest]:
    """Layers that were made here and whose blobs are missing."""
    rows = store.database.rows(f"SELECT DISTINCT digest FROM layers l WHERE {_MADE_HERE}")
    return [Digest(digest) for (digest,) in rows if not store.blobs.has(Digest(digest))]


def _forget(connection: sqlite3.Connection, snapshots: Iterable[int]) -> set[int]:
    """Remove the results of snapshots with neither files nor a layer, and of all on top of them."""
    lost: set[int] = set()
    todo = [
        snapshot
        for snapshot in snapshots
        if _column(
            connection,
            "SELECT id FROM snapshots s WHERE id = ? AND directory IS NULL AND NOT EXISTS"
            " (SELECT 1 FROM layers l WHERE l.snapshot = s.id AND instr(recipe, '@') = 0)",
            snapshot,
        )
    ]
    while todo:
        snapshot = todo.pop()
        if snapshot not in lost:
            lost.add(snapshot)
            todo += _column(connection, "SELECT id FROM snapshots WHERE parent = ?", snapshot)
    rows = [(snapshot,) for snapshot in lost]
    connection.executemany("DELETE FROM results WHERE snapshot = ?", rows)
    connection.executemany("UPDATE snapshots SET chain = NULL WHERE id = ?", rows)
    return lost


def _column(connection: sqlite3.Connection, sql: str, value: object) -> list[Any]:
    return [row[0] for row in connection.execute(sql, (value,))]
